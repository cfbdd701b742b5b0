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
import io.a2a.spec.DeleteTaskPushNotificationConfigParams;
import io.a2a.spec.GetTaskPushNotificationConfigParams;
import io.a2a.spec.JSONRPCError;
import io.a2a.spec.ListTaskPushNotificationConfigParams;
import io.a2a.spec.PushNotificationConfig;
import io.a2a.spec.Task;
import io.a2a.spec.TaskIdParams;
import io.a2a.spec.TaskPushNotificationConfig;
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

/** The official client of A2A 0.3. */
public final class Main implements Operations.Client {
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
            AgentCard card = A2A.getAgentCard(target.url(), ".well-known/agent-card.json", Map.of());
            return new Main(target.grpc().isEmpty() ? card : replaceAddress(card, target.grpc()), target.binding());
        });
    }

    /** Returns the card with an address of gRPC alone. */
    private static AgentCard replaceAddress(AgentCard card, String address) {
        return new AgentCard.Builder(card).url(address).preferredTransport("GRPC").additionalInterfaces(List.of()).build();
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
        throw new NoSuchMethodException("0.3 cannot list tasks");
    }

    @Override
    public void subscribe(String taskId, Consumer<Operations.Seen> see, Consumer<Throwable> fail) throws Exception {
        streaming.resubscribe(new TaskIdParams(taskId), see(see), fail);
    }

    @Override
    public Operations.Seen cancel(String taskId) throws Exception {
        return read(plain.cancelTask(new TaskIdParams(taskId)));
    }

    @Override
    public String pushSet(String taskId) throws Exception {
        var config = new PushNotificationConfig(Operations.WEBHOOK, null, null, Operations.CONFIG_ID);
        var set = plain.setTaskPushNotificationConfiguration(new TaskPushNotificationConfig(taskId, config));
        return set.pushNotificationConfig().url();
    }

    @Override
    public String pushGet(String taskId) throws Exception {
        var params = new GetTaskPushNotificationConfigParams(taskId, Operations.CONFIG_ID);
        return plain.getTaskPushNotificationConfiguration(params).pushNotificationConfig().url();
    }

    @Override
    public String pushList(String taskId) throws Exception {
        var params = new ListTaskPushNotificationConfigParams(taskId);
        return plain.listTaskPushNotificationConfigurations(params).toString();
    }

    @Override
    public void pushDelete(String taskId) throws Exception {
        var params = new DeleteTaskPushNotificationConfigParams(taskId, Operations.CONFIG_ID);
        plain.deleteTaskPushNotificationConfigurations(params);
    }

    @Override
    public String card() throws Exception {
        return plain.getAgentCard().name();
    }

    @Override
    public Integer code(Throwable error) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            if (cause instanceof JSONRPCError named) {
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
        if (task.getArtifacts() != null) {
            for (var artifact : task.getArtifacts()) {
                for (var part : artifact.parts()) {
                    text.append(part instanceof TextPart written ? written.getText() : "");
                }
            }
        }
        return new Operations.Seen(task.getId(), task.getStatus().state().asString(), text.toString());
    }
}
