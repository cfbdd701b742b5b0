package main

import (
	"context"
	"errors"
	"iter"

	"github.com/a2aproject/a2a-go/a2a"
	"github.com/a2aproject/a2a-go/a2aclient"
	"github.com/a2aproject/a2a-go/a2aclient/agentcard"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// newLegacyClient returns a client of A2A 0.3, which speaks JSON-RPC; it has no HTTP+JSON. With the address of gRPC, it
// speaks gRPC there.
func newLegacyClient(ctx context.Context, url, grpcAddress string) (client, error) {
	card, err := agentcard.DefaultResolver.Resolve(ctx, url)
	if err != nil {
		return client{}, err
	}
	reason := legacyReason
	if grpcAddress != "" {
		card.URL, card.PreferredTransport, card.AdditionalInterfaces = grpcAddress, a2a.TransportProtocolGRPC, nil
		reason = func(error) string { return "" } // the error itself is of interest
	}
	insecureGRPC := a2aclient.WithGRPCTransport(grpc.WithTransportCredentials(insecure.NewCredentials()))
	sdk, err := a2aclient.NewFromCard(ctx, card, insecureGRPC)
	if err != nil {
		return client{}, err
	}
	return client{
		send: func(ctx context.Context, text string, atOnce bool) (seen, error) {
			params, blocks := legacyMessage(text), !atOnce
			params.Config = &a2a.MessageSendConfig{Blocking: &blocks}
			event, err := sdk.SendMessage(ctx, params)
			return seeLegacy(event), err
		},
		stream: func(ctx context.Context, text string, see func(seen)) error {
			return drainLegacy(sdk.SendStreamingMessage(ctx, legacyMessage(text)), see)
		},
		get: func(ctx context.Context, taskID string) (seen, error) {
			task, err := sdk.GetTask(ctx, &a2a.TaskQueryParams{ID: a2a.TaskID(taskID)})
			return seeLegacy(task), err
		},
		subscribe: func(ctx context.Context, taskID string, see func(seen)) error {
			return drainLegacy(sdk.ResubscribeToTask(ctx, &a2a.TaskIDParams{ID: a2a.TaskID(taskID)}), see)
		},
		cancel: func(ctx context.Context, taskID string) (seen, error) {
			task, err := sdk.CancelTask(ctx, &a2a.TaskIDParams{ID: a2a.TaskID(taskID)})
			return seeLegacy(task), err
		},
		pushSet: func(ctx context.Context, taskID string) (string, error) {
			config := &a2a.TaskPushConfig{TaskID: a2a.TaskID(taskID), Config: a2a.PushConfig{ID: configID, URL: webhook}}
			return legacyURL(sdk.SetTaskPushConfig(ctx, config))
		},
		pushGet: func(ctx context.Context, taskID string) (string, error) {
			params := &a2a.GetTaskPushConfigParams{TaskID: a2a.TaskID(taskID), ConfigID: configID}
			return legacyURL(sdk.GetTaskPushConfig(ctx, params))
		},
		pushList: func(ctx context.Context, taskID string) (string, error) {
			configs, err := sdk.ListTaskPushConfig(ctx, &a2a.ListTaskPushConfigParams{TaskID: a2a.TaskID(taskID)})
			urls := ""
			for _, config := range configs {
				urls += config.Config.URL + " "
			}
			return urls, err
		},
		pushDelete: func(ctx context.Context, taskID string) error {
			params := &a2a.DeleteTaskPushConfigParams{TaskID: a2a.TaskID(taskID), ConfigID: configID}
			return sdk.DeleteTaskPushConfig(ctx, params)
		},
		card: func(ctx context.Context) (string, error) {
			extended, err := sdk.GetAgentCard(ctx)
			if err != nil {
				return "", err
			}
			return extended.Name, nil
		},
		reason: reason,
	}, nil
}

func legacyMessage(text string) *a2a.MessageSendParams {
	return &a2a.MessageSendParams{Message: a2a.NewMessage(a2a.MessageRoleUser, a2a.TextPart{Text: text})}
}

func legacyURL(config *a2a.TaskPushConfig, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return config.Config.URL, nil
}

func drainLegacy(events iter.Seq2[a2a.Event, error], see func(seen)) error {
	for event, err := range events {
		if err != nil {
			return err
		}
		see(seeLegacy(event))
	}
	return nil
}

func seeLegacy(event a2a.Event) seen {
	switch event := event.(type) {
	case *a2a.Task:
		if event == nil {
			return seen{}
		}
		return seen{string(event.ID), plainState(string(event.Status.State)), legacyText(event.Artifacts...)}
	case *a2a.TaskStatusUpdateEvent:
		return seen{taskID: string(event.TaskID), state: plainState(string(event.Status.State))}
	case *a2a.TaskArtifactUpdateEvent:
		return seen{taskID: string(event.TaskID), text: legacyText(event.Artifact)}
	default:
		return seen{}
	}
}

func legacyText(artifacts ...*a2a.Artifact) string {
	text := ""
	for _, artifact := range artifacts {
		for _, part := range artifact.Parts {
			if part, ok := part.(a2a.TextPart); ok {
				text += part.Text
			}
		}
	}
	return text
}

// legacyReason returns the reason by which 1.0 names an error of 0.3, which does not know the later ones.
func legacyReason(err error) string {
	reasons := map[error]string{
		a2a.ErrTaskNotFound:                 "TASK_NOT_FOUND",
		a2a.ErrTaskNotCancelable:            "TASK_NOT_CANCELABLE",
		a2a.ErrPushNotificationNotSupported: "PUSH_NOTIFICATION_NOT_SUPPORTED",
		a2a.ErrUnsupportedOperation:         "UNSUPPORTED_OPERATION",
		a2a.ErrInternalError:                "unknown code",
	}
	for sentinel, reason := range reasons {
		if errors.Is(err, sentinel) {
			return reason
		}
	}
	return ""
}
