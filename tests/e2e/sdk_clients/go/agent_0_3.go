package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/a2aproject/a2a-go/a2a"
	"github.com/a2aproject/a2a-go/a2asrv"
	"github.com/a2aproject/a2a-go/a2asrv/eventqueue"
	"github.com/a2aproject/a2a-go/a2asrv/push"
)

// legacyEcho answers with an artifact of the text that it received, and leaves the task open if the text says `wait`.
type legacyEcho struct{}

func (legacyEcho) Execute(ctx context.Context, request *a2asrv.RequestContext, queue eventqueue.Queue) error {
	text := ""
	for _, part := range request.Message.Parts {
		if part, ok := part.(a2a.TextPart); ok {
			text += part.Text
		}
	}
	last := a2a.NewStatusUpdateEvent(request, a2a.TaskStateCompleted, nil)
	if strings.Contains(text, "wait") {
		last = a2a.NewStatusUpdateEvent(request, a2a.TaskStateInputRequired, nil)
	}
	last.Final = true
	events := []a2a.Event{
		a2a.NewSubmittedTask(request, request.Message),
		a2a.NewStatusUpdateEvent(request, a2a.TaskStateWorking, nil),
		a2a.NewArtifactEvent(request, a2a.TextPart{Text: text}),
		last,
	}
	for _, event := range events {
		if err := queue.Write(ctx, event); err != nil {
			return err
		}
	}
	return nil
}

func (legacyEcho) Cancel(ctx context.Context, request *a2asrv.RequestContext, queue eventqueue.Queue) error {
	event := a2a.NewStatusUpdateEvent(request, a2a.TaskStateCanceled, nil)
	event.Final = true
	return queue.Write(ctx, event)
}

// newLegacyAgent serves JSON-RPC at the root.
func newLegacyAgent(url string) http.Handler {
	card := &a2a.AgentCard{
		Name:               "echo",
		Description:        "Echoes",
		Version:            "1",
		URL:                url,
		PreferredTransport: a2a.TransportProtocolJSONRPC,
		ProtocolVersion:    "0.3.0",
		Capabilities:       a2a.AgentCapabilities{Streaming: true, PushNotifications: true},
		DefaultInputModes:  []string{"text/plain"},
		DefaultOutputModes: []string{"text/plain"},
		Skills:             []a2a.AgentSkill{{ID: "echo", Name: "echo", Description: "Echoes", Tags: []string{"echo"}}},

		SupportsAuthenticatedExtendedCard: true,
	}
	handler := a2asrv.NewHandler(
		legacyEcho{},
		a2asrv.WithPushNotifications(push.NewInMemoryStore(), push.NewHTTPPushSender(nil)),
		a2asrv.WithExtendedAgentCard(card),
	)
	routes := http.NewServeMux()
	routes.Handle("/.well-known/agent-card.json", a2asrv.NewStaticAgentCardHandler(card))
	routes.Handle("/", a2asrv.NewJSONRPCHandler(handler))
	return routes
}
