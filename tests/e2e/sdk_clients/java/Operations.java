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
 * error, or what is wrong. It tries all agents at once. The arguments are the binding (JSONRPC or HTTP+JSON), then the name and the base URL of each
 * agent.
 */
final class Operations {
    static final String WEBHOOK = "http://127.0.0.1:9/webhook";

    /** The HTTP+JSON client pads an id of one character with a space, which makes a wrong path. */
    static final String CONFIG_ID = "hook";

    /** A stream without an event for so long is over: the clients do not tell that it has ended. */
    private static final long SILENCE_SECONDS = 10;

    /** What a client reads of a task, whatever its version. */
    record Seen(String taskId, String state, String text) {}

    /** A client of one agent. An operation that the SDK does not have throws {@link NoSuchMethodException}. */
    interface Client {
        Seen send(String text) throws Exception;

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
        Client connect(String url, String binding) throws Exception;
    }

    private interface Attempt {
        String of(Client client) throws Exception;
    }

    private interface Stream {
        void open(Consumer<Seen> see, Consumer<Throwable> fail) throws Exception;
    }

    static void run(String[] arguments, Connector connector) throws Exception {
        ExecutorService threads = Executors.newCachedThreadPool();
        List<Future<String>> agents = new ArrayList<>();
        for (int i = 1; i < arguments.length; i += 2) {
            String name = arguments[i];
            String url = arguments[i + 1];
            agents.add(threads.submit(() -> quote(name) + ":" + render(tryAll(connector.connect(url, arguments[0])))));
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

    private static Map<String, String> tryAll(Client client) {
        Map<String, Attempt> attempts = new LinkedHashMap<>();
        attempts.put("send", Operations::trySend);
        attempts.put("stream", Operations::tryStream);
        attempts.put("get", Operations::tryGet);
        attempts.put("list", Operations::tryList);
        attempts.put("subscribe", Operations::trySubscribe);
        attempts.put("cancel", Operations::tryCancel);
        attempts.put("push set", c -> right(c.pushSet(openTask(c)).equals(WEBHOOK)));
        attempts.put("push get", c -> right(c.pushGet(openWithConfig(c)).equals(WEBHOOK)));
        attempts.put("push list", c -> right(c.pushList(openWithConfig(c)).contains(WEBHOOK)));
        attempts.put("push delete", Operations::tryPushDelete);
        attempts.put("card", c -> right(!c.card().isEmpty()));
        Map<String, String> found = new LinkedHashMap<>();
        attempts.forEach((name, attempt) -> {
            try {
                found.put(name, attempt.of(client));
            } catch (NoSuchMethodException absent) {
                return;
            } catch (Throwable error) {
                Integer code = client.code(error);
                found.put(name, code == null ? "broken: " + error : code.toString());
            }
        });
        return found;
    }

    private static String openTask(Client client) throws Exception {
        return client.send("wait").taskId();
    }

    private static String openWithConfig(Client client) throws Exception {
        String taskId = openTask(client);
        client.pushSet(taskId);
        return taskId;
    }

    private static String trySend(Client client) throws Exception {
        Seen task = client.send("hello");
        return right(task.text().equals("hello") && task.state().equals("completed"));
    }

    private static String tryStream(Client client) throws Exception {
        Seen last = drain((see, fail) -> client.stream("hello", see, fail), first -> {});
        return right(last.text().equals("hello") && last.state().equals("completed"));
    }

    private static String tryGet(Client client) throws Exception {
        String taskId = openTask(client);
        Seen task = client.get(taskId);
        return right(task.taskId().equals(taskId) && task.state().equals("input-required"));
    }

    private static String tryList(Client client) throws Exception {
        String taskId = openTask(client);
        return right(client.list().contains(taskId));
    }

    private static String tryCancel(Client client) throws Exception {
        return right(client.cancel(openTask(client)).state().equals("canceled"));
    }

    private static String trySubscribe(Client client) throws Exception {
        String taskId = openTask(client);
        Seen last = drain((see, fail) -> client.subscribe(taskId, see, fail), first -> client.cancel(taskId));
        return last.state().equals("canceled") ? "ok" : "ends early";
    }

    private static String tryPushDelete(Client client) throws Exception {
        client.pushDelete(openWithConfig(client));
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
            Object event = events.poll(SILENCE_SECONDS, TimeUnit.SECONDS);
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
