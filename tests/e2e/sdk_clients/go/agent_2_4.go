package main

import (
	"context"
	"iter"
	"net/http"
	"strings"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2asrv"
	"github.com/a2aproject/a2a-go/v2/a2asrv/push"
	"github.com/a2aproject/a2a-go/v2/a2asrv/taskstore"
)

// currentEcho answers with an artifact of the text that it received, and leaves the task open if the text says `wait`.
type currentEcho struct{}

func (currentEcho) Execute(_ context.Context, request *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	text := ""
	for _, part := range request.Message.Parts {
		text += part.Text()
	}
	last := a2a.TaskStateCompleted
	if strings.Contains(text, "wait") {
		last = a2a.TaskStateInputRequired
	}
	return func(yield func(a2a.Event, error) bool) {
		_ = yield(a2a.NewSubmittedTask(request, request.Message), nil) &&
			yield(a2a.NewStatusUpdateEvent(request, a2a.TaskStateWorking, nil), nil) &&
			yield(a2a.NewArtifactEvent(request, a2a.NewTextPart(text)), nil) &&
			yield(a2a.NewStatusUpdateEvent(request, last, nil), nil)
	}
}

func (currentEcho) Cancel(_ context.Context, request *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) {
		yield(a2a.NewStatusUpdateEvent(request, a2a.TaskStateCanceled, nil), nil)
	}
}

// newCurrentAgent serves JSON-RPC at the root and HTTP+JSON below /rest.
func newCurrentAgent(url string) http.Handler {
	card := &a2a.AgentCard{
		Name:               "echo",
		Description:        "Echoes",
		Version:            "1",
		Capabilities:       a2a.AgentCapabilities{Streaming: true, PushNotifications: true, ExtendedAgentCard: true},
		DefaultInputModes:  []string{"text/plain"},
		DefaultOutputModes: []string{"text/plain"},
		Skills:             []a2a.AgentSkill{{ID: "echo", Name: "echo", Description: "Echoes", Tags: []string{"echo"}}},
		SupportedInterfaces: []*a2a.AgentInterface{
			a2a.NewAgentInterface(url, a2a.TransportProtocolJSONRPC),
			a2a.NewAgentInterface(url+"rest", a2a.TransportProtocolHTTPJSON),
		},
	}
	one := func(context.Context) (string, error) { return "caller", nil } // tasks are listed for named callers only
	handler := a2asrv.NewHandler(
		currentEcho{},
		a2asrv.WithTaskStore(taskstore.NewInMemory(&taskstore.InMemoryStoreConfig{Authenticator: one})),
		a2asrv.WithPushNotifications(push.NewInMemoryStore(), push.NewHTTPPushSender(nil)),
		a2asrv.WithExtendedAgentCard(card),
	)
	routes := http.NewServeMux()
	routes.Handle("/.well-known/agent-card.json", a2asrv.NewStaticAgentCardHandler(card))
	routes.Handle("/rest/", http.StripPrefix("/rest", a2asrv.NewRESTHandler(handler)))
	routes.Handle("/", a2asrv.NewJSONRPCHandler(handler))
	return routes
}
