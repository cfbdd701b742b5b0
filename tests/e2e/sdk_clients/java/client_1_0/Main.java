import io.a2a.A2A;
import io.a2a.client.Client;
import io.a2a.client.ClientEvent;
import io.a2a.client.TaskEvent;
import io.a2a.client.TaskUpdateEvent;
import io.a2a.client.config.ClientConfig;
import io.a2a.client.transport.grpc.GrpcTransport;
import io.a2a.client.transport.grpc.GrpcTransportConfig;
import io.a2a.client.transport.jsonrpc.JSONRPCTransport;
import io.a2a.client.transport.jsonrpc.JSONRPCTransportConfig;
import io.a2a.client.transport.rest.RestTransport;
import io.a2a.client.transport.rest.RestTransportConfig;
import io.a2a.spec.AgentCard;
import io.a2a.spec.A2AError;
import io.a2a.spec.Task;
import io.a2a.spec.TaskIdParams;
import io.a2a.spec.TaskQueryParams;
import io.a2a.spec.TextPart;
import io.grpc.Channel;
import io.grpc.ManagedChannelBuilder;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

/**
 * The official client of A2A 1.0, of the first package that speaks it. It follows a draft of 1.0, in which lists, push
 * notification configs and the extended card are written in another way than in 1.0; they are left out.
 */
public final class Main implements Operations.Client {
    private static final String DRAFT = "its form is that of a draft of 1.0";

    private final Client plain;
    private final Client atOnce;
    private final Client streaming;

    private Main(AgentCard card, String binding) throws Exception {
        plain = build(card, binding, config().setStreaming(false));
        atOnce = build(card, binding, config().setStreaming(false).setPolling(true));
        streaming = build(card, binding, config().setStreaming(true));
    }

    public static void main(String[] arguments) throws Exception {
        Operations.run(arguments, target -> {
            AgentCard card = A2A.getAgentCard(target.url(), ".well-known/agent-card.json", Map.of("A2A-Version", "1.0"));
            return new Main(card, target.binding());
        });
    }

    private static ClientConfig.Builder config() {
        return new ClientConfig.Builder().setUseClientPreference(true);
    }

    private static Client build(AgentCard card, String binding, ClientConfig.Builder config) throws Exception {
        var builder = Client.builder(card).clientConfig(config.build());
        return switch (binding) {
            case "JSONRPC" -> builder.withTransport(JSONRPCTransport.class, new JSONRPCTransportConfig()).build();
            case "HTTP+JSON" -> builder.withTransport(RestTransport.class, new RestTransportConfig()).build();
            default -> builder.withTransport(GrpcTransport.class, new GrpcTransportConfig(Main::openChannel)).build();
        };
    }

    private static Channel openChannel(String address) {
        return ManagedChannelBuilder.forTarget(address).usePlaintext().build();
    }

    @Override
    public Operations.Seen send(String text, boolean isAnsweredAtOnce) throws Exception {
        CompletableFuture<Operations.Seen> answer = new CompletableFuture<>();
        (isAnsweredAtOnce ? atOnce : plain).sendMessage(A2A.toUserMessage(text), see(answer::complete), answer::completeExceptionally);
        return answer.get(20, TimeUnit.SECONDS);
    }

    @Override
    public void stream(String text, Consumer<Operations.Seen> see, Consumer<Throwable> fail) throws Exception {
        streaming.sendMessage(A2A.toUserMessage(text), see(see), fail);
    }

    @Override
    public Operations.Seen get(String taskId) throws Exception {
        return read(plain.getTask(new TaskQueryParams(taskId)));
    }

    @Override
    public List<String> list() throws NoSuchMethodException {
        throw new NoSuchMethodException(DRAFT);
    }

    @Override
    public void subscribe(String taskId, Consumer<Operations.Seen> see, Consumer<Throwable> fail) throws Exception {
        streaming.subscribeToTask(new TaskIdParams(taskId), see(see), fail);
    }

    @Override
    public Operations.Seen cancel(String taskId) throws Exception {
        return read(plain.cancelTask(new TaskIdParams(taskId)));
    }

    @Override
    public String pushSet(String taskId) throws NoSuchMethodException {
        throw new NoSuchMethodException(DRAFT);
    }

    @Override
    public String pushGet(String taskId) throws NoSuchMethodException {
        throw new NoSuchMethodException(DRAFT);
    }

    @Override
    public String pushList(String taskId) throws NoSuchMethodException {
        throw new NoSuchMethodException(DRAFT);
    }

    @Override
    public void pushDelete(String taskId) throws NoSuchMethodException {
        throw new NoSuchMethodException(DRAFT);
    }

    @Override
    public String card() throws NoSuchMethodException {
        throw new NoSuchMethodException(DRAFT);
    }

    @Override
    public Integer code(Throwable error) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            if (cause instanceof A2AError named) {
                return named.getCode();
            }
        }
        return null;
    }

    private static List<BiConsumer<ClientEvent, AgentCard>> see(Consumer<Operations.Seen> consumer) {
        return List.of((event, card) -> {
            if (event instanceof TaskEvent found) {
                consumer.accept(read(found.getTask()));
            } else if (event instanceof TaskUpdateEvent update) {
                consumer.accept(read(update.getTask()));
            }
        });
    }

    private static Operations.Seen read(Task task) {
        StringBuilder text = new StringBuilder();
        if (task.artifacts() != null) {
            for (var artifact : task.artifacts()) {
                for (var part : artifact.parts()) {
                    text.append(part instanceof TextPart written ? written.text() : "");
                }
            }
        }
        return new Operations.Seen(task.id(), task.status().state().name().replace("TASK_STATE_", "").toLowerCase().replace('_', '-'), text.toString());
    }
}
