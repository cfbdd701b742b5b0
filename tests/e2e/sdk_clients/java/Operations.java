import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * Tries every operation of a client with each agent, and prints what came of it as JSON: {@code ok}, the code of the
 * error, or what is wrong. It tries all agents at once. The arguments are the binding (JSONRPC, HTTP+JSON or GRPC), then
 * four of each agent: its name, its base URL, the names of what it does with a task that waits, with commas between, and
 * for GRPC of 0.3, which the card does not offer, the address of gRPC.
 */
final class Operations {
    static final String WEBHOOK = "http://127.0.0.1:9/webhook";

    /** The HTTP+JSON client pads an id of one character with a space, which makes a wrong path. */
    static final String CONFIG_ID = "hook";

    /** A stream without an event for so long is over: the clients do not tell that it has ended. */
    private static final long SILENCE_SECONDS = 15;

    private static final long FIRST_EVENT_SECONDS = 60;

    private static final long RETRY_MILLISECONDS = 50;

    private static final int NOT_CANCELABLE = -32002;

    /** What the plane says, for clients that tell no code. */
    private static final String NOT_CANCELABLE_TEXT = "cannot be cancelled";

    /** What a client reads of a task, whatever its version. */
    record Seen(String taskId, String state, String text) {
        boolean isUnderWay() {
            return List.of("submitted", "working").contains(state);
        }
    }

    /** What the program is told of an agent. */
    record Target(String url, String binding, List<String> habits, String grpc) {
        /** It answers only when the task is over, unless the client wants the answer at once. */
        boolean holdsAnswer() {
            return habits.contains("holds_answer");
        }

        /** It answers a cancellation with the task as it is; it ends the task when told to release it. */
        boolean ignoresCancel() {
            return habits.contains("ignores_cancel");
        }
    }

    private record Agent(Client client, Target target) {}

    /** A client of one agent. An operation that the SDK does not have throws {@link NoSuchMethodException}. */
    interface Client {
        Seen send(String text, boolean atOnce) throws Exception;

        void stream(String text, Consumer<Seen> see, Consumer<Throwable> fail) throws Exception;

        Seen get(String taskId) throws Exception;

        List<String> list() throws Exception;

        void subscribe(String taskId, Consumer<Seen> see, Consumer<Throwable> fail) throws Exception;

        Seen cancel(String taskId) throws Exception;

        String pushSet(String taskId) throws Exception;

        String pushGet(String taskId) throws Exception;

        String pushList(String taskId) throws Exception;

        void pushDelete(String taskId) throws Exception;

        String card() throws Exception;

        /** Returns the code of an error, or null if it has none. */
        Integer code(Throwable error);
    }

    interface Connector {
        Client connect(Target target) throws Exception;
    }

    private interface Attempt {
        String of(Agent agent) throws Exception;
    }

    private interface Stream {
        void open(Consumer<Seen> see, Consumer<Throwable> fail) throws Exception;
    }

    static void run(String[] arguments, Connector connector) throws Exception {
        ExecutorService threads = Executors.newCachedThreadPool();
        List<Future<String>> agents = new ArrayList<>();
        for (int i = 1; i < arguments.length; i += 4) {
            String name = arguments[i];
            List<String> habits = List.of(arguments[i + 2].split(","));
            Target target = new Target(arguments[i + 1], arguments[0], habits, arguments[i + 3]);
            agents.add(threads.submit(() -> {
                Agent agent = new Agent(connector.connect(target), target);
                return quote(name) + ":" + render(tryAll(agent));
            }));
        }
        List<String> found = new ArrayList<>();
        for (Future<String> agent : agents) {
            found.add(agent.get());
        }
        System.out.println("{" + String.join(",", found) + "}");
        System.exit(0); // threads of the HTTP clients may still run
    }

    private static String render(Map<String, String> cells) {
        List<String> members = new ArrayList<>();
        cells.forEach((name, cell) -> members.add(quote(name) + ":" + quote(cell)));
        return "{" + String.join(",", members) + "}";
    }

    private static Map<String, String> tryAll(Agent agent) {
        Map<String, Attempt> attempts = new LinkedHashMap<>();
        attempts.put("send", Operations::trySend);
        attempts.put("stream", Operations::tryStream);
        attempts.put("get", Operations::tryGet);
        attempts.put("list", Operations::tryList);
        attempts.put("subscribe", Operations::trySubscribe);
        attempts.put("cancel", Operations::tryCancel);
        attempts.put("push set", a -> right(a.client.pushSet(openTask(a)).equals(WEBHOOK)));
        attempts.put("push get", a -> right(a.client.pushGet(openWithConfig(a)).equals(WEBHOOK)));
        attempts.put("push list", a -> right(a.client.pushList(openWithConfig(a)).contains(WEBHOOK)));
        attempts.put("push delete", Operations::tryPushDelete);
        attempts.put("card", a -> right(!a.client.card().isEmpty()));
        Map<String, String> found = new LinkedHashMap<>();
        attempts.forEach((name, attempt) -> {
            try {
                found.put(name, attempt.of(agent));
            } catch (NoSuchMethodException absent) {
                return;
            } catch (Throwable error) {
                Integer code = agent.target.grpc.isEmpty() ? agent.client.code(error) : null;
                found.put(name, code == null ? "broken: " + describe(agent.target, error) : code.toString());
            }
        });
        return found;
    }

    /** Returns the text of an error, and of a refusal of gRPC 0.3 those of its causes too. */
    private static String describe(Target target, Throwable error) {
        StringBuilder text = new StringBuilder(error.toString());
        for (Throwable cause = error.getCause(); cause != null && !target.grpc.isEmpty(); cause = cause.getCause()) {
            text.append("; ").append(cause);
        }
        return text.toString();
    }

    private static String openTask(Agent agent) throws Exception {
        return agent.client.send("wait", agent.target.holdsAnswer()).taskId();
    }

    private static String openWithConfig(Agent agent) throws Exception {
        String taskId = openTask(agent);
        agent.client.pushSet(taskId);
        return taskId;
    }

    /** Cancels a task, as soon as the agent that fetches its messages has returned the message. */
    private static Seen cancelOpen(Client client, String taskId) throws Exception {
        while (true) {
            try {
                return client.cancel(taskId);
            } catch (Exception error) {
                Integer code = client.code(error);
                boolean hasReason = code == null && String.valueOf(error.getMessage()).contains(NOT_CANCELABLE_TEXT);
                if (!hasReason && !Integer.valueOf(NOT_CANCELABLE).equals(code)) {
                    throw error;
                }
                Thread.sleep(RETRY_MILLISECONDS);
            }
        }
    }

    private static void end(Agent agent, String taskId) throws Exception {
        if (agent.target.ignoresCancel()) {
            agent.client.send("release", false);
        } else {
            cancelOpen(agent.client, taskId);
        }
    }

    private static String trySend(Agent agent) throws Exception {
        Seen task = agent.client.send("hello", false);
        while (task.isUnderWay()) {
            Thread.sleep(RETRY_MILLISECONDS);
            task = agent.client.get(task.taskId());
        }
        return right(task.text().equals("hello") && task.state().equals("completed"));
    }

    private static String tryStream(Agent agent) throws Exception {
        Seen last = drain((see, fail) -> agent.client.stream("hello", see, fail), first -> {});
        return right(last.text().equals("hello") && last.state().equals("completed"));
    }

    private static String tryGet(Agent agent) throws Exception {
        String taskId = openTask(agent);
        Seen task = agent.client.get(taskId);
        boolean isOpen = task.isUnderWay() || task.state().equals("input-required");
        return right(task.taskId().equals(taskId) && isOpen);
    }

    private static String tryList(Agent agent) throws Exception {
        agent.client.list(); // throws if the SDK does not have it
        String taskId = openTask(agent);
        return right(agent.client.list().contains(taskId));
    }

    private static String tryCancel(Agent agent) throws Exception {
        Seen task = cancelOpen(agent.client, openTask(agent));
        return right(agent.target.ignoresCancel() ? task.isUnderWay() : task.state().equals("canceled"));
    }

    private static String trySubscribe(Agent agent) throws Exception {
        String taskId = openTask(agent);
        Seen last = drain((see, fail) -> agent.client.subscribe(taskId, see, fail), first -> end(agent, taskId));
        return last.state().equals(agent.target.ignoresCancel() ? "completed" : "canceled") ? "ok" : "ends early";
    }

    private static String tryPushDelete(Agent agent) throws Exception {
        agent.client.pushDelete(openWithConfig(agent));
        return "ok";
    }

    private interface Reaction {
        void to(Seen first) throws Exception;
    }

    /** Reads a stream until its task is over; returns the last event. Throws the error that the stream brings. */
    private static Seen drain(Stream stream, Reaction reaction) throws Exception {
        LinkedBlockingQueue<Object> events = new LinkedBlockingQueue<>();
        stream.open(events::add, error -> {
            if (error != null) {
                events.add(error);
            }
        });
        Seen last = null;
        while (true) {
            Object event = events.poll(last == null ? FIRST_EVENT_SECONDS : SILENCE_SECONDS, TimeUnit.SECONDS);
            if (event instanceof Seen seen) {
                if (last == null) {
                    reaction.to(seen);
                }
                last = seen;
                if (!List.of("completed", "canceled").contains(seen.state())) {
                    continue;
                }
            } else if (event instanceof Exception error) {
                throw error;
            } else if (event instanceof Error error) {
                throw error;
            }
            if (last == null) {
                throw new IllegalStateException("the stream is silent");
            }
            return last;
        }
    }

    private static String right(boolean isRight) {
        return isRight ? "ok" : "wrong";
    }

    private static String quote(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"").replaceAll("\\p{Cntrl}", " ") + '"';
    }
}
