package main

import (
	"context"
	"iter"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient"
	"github.com/a2aproject/a2a-go/v2/a2aclient/agentcard"
	a2agrpc "github.com/a2aproject/a2a-go/v2/a2agrpc/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// newCurrentClient returns a client of A2A 1.0 that prefers the binding.
func newCurrentClient(ctx context.Context, url, binding string) (client, error) {
	card, err := agentcard.DefaultResolver.Resolve(ctx, url)
	if err != nil {
		return client{}, err
	}
	preferred := []a2a.TransportProtocol{a2a.TransportProtocol(binding)}
	sdk, err := a2aclient.NewFromCard(
		ctx, card,
		a2aclient.WithConfig(a2aclient.Config{PreferredTransports: preferred}),
		a2agrpc.WithGRPCTransport(grpc.WithTransportCredentials(insecure.NewCredentials())),
	)
	if err != nil {
		return client{}, err
	}
	return client{
		send: func(ctx context.Context, text string, atOnce bool) (seen, error) {
			request := currentMessage(text)
			request.Config = &a2a.SendMessageConfig{ReturnImmediately: atOnce}
			event, err := sdk.SendMessage(ctx, request)
			return seeCurrent(event), err
		},
		stream: func(ctx context.Context, text string, see func(seen)) error {
			return drainCurrent(sdk.SendStreamingMessage(ctx, currentMessage(text)), see)
		},
		get: func(ctx context.Context, taskID string) (seen, error) {
			task, err := sdk.GetTask(ctx, &a2a.GetTaskRequest{ID: a2a.TaskID(taskID)})
			return seeCurrent(task), err
		},
		list: func(ctx context.Context) ([]string, error) {
			listed, err := sdk.ListTasks(ctx, &a2a.ListTasksRequest{})
			if err != nil {
				return nil, err
			}
			var found []string
			for _, task := range listed.Tasks {
				found = append(found, string(task.ID))
			}
			return found, nil
		},
		subscribe: func(ctx context.Context, taskID string, see func(seen)) error {
			return drainCurrent(sdk.SubscribeToTask(ctx, &a2a.SubscribeToTaskRequest{ID: a2a.TaskID(taskID)}), see)
		},
		cancel: func(ctx context.Context, taskID string) (seen, error) {
			task, err := sdk.CancelTask(ctx, &a2a.CancelTaskRequest{ID: a2a.TaskID(taskID)})
			return seeCurrent(task), err
		},
		pushSet: func(ctx context.Context, taskID string) (string, error) {
			config := &a2a.PushConfig{TaskID: a2a.TaskID(taskID), ID: configID, URL: webhook}
			return currentURL(sdk.CreateTaskPushConfig(ctx, config))
		},
		pushGet: func(ctx context.Context, taskID string) (string, error) {
			request := &a2a.GetTaskPushConfigRequest{TaskID: a2a.TaskID(taskID), ID: configID}
			return currentURL(sdk.GetTaskPushConfig(ctx, request))
		},
		pushList: func(ctx context.Context, taskID string) (string, error) {
			configs, err := sdk.ListTaskPushConfigs(ctx, &a2a.ListTaskPushConfigRequest{TaskID: a2a.TaskID(taskID)})
			urls := ""
			for _, config := range configs {
				urls += config.URL + " "
			}
			return urls, err
		},
		pushDelete: func(ctx context.Context, taskID string) error {
			request := &a2a.DeleteTaskPushConfigRequest{TaskID: a2a.TaskID(taskID), ID: configID}
			return sdk.DeleteTaskPushConfig(ctx, request)
		},
		card: func(ctx context.Context) (string, error) {
			extended, err := sdk.GetExtendedAgentCard(ctx, &a2a.GetExtendedAgentCardRequest{})
			if err != nil {
				return "", err
			}
			return extended.Name, nil
		},
		reason: a2a.ErrorReason,
	}, nil
}

func currentMessage(text string) *a2a.SendMessageRequest {
	return &a2a.SendMessageRequest{Message: a2a.NewMessage(a2a.MessageRoleUser, a2a.NewTextPart(text))}
}

func currentURL(config *a2a.PushConfig, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return config.URL, nil
}

func drainCurrent(events iter.Seq2[a2a.Event, error], see func(seen)) error {
	for event, err := range events {
		if err != nil {
			return err
		}
		see(seeCurrent(event))
	}
	return nil
}

func seeCurrent(event a2a.Event) seen {
	switch event := event.(type) {
	case *a2a.Task:
		if event == nil {
			return seen{}
		}
		return seen{string(event.ID), plainState(string(event.Status.State)), currentText(event.Artifacts...)}
	case *a2a.TaskStatusUpdateEvent:
		return seen{taskID: string(event.TaskID), state: plainState(string(event.Status.State))}
	case *a2a.TaskArtifactUpdateEvent:
		return seen{taskID: string(event.TaskID), text: currentText(event.Artifact)}
	default:
		return seen{}
	}
}

func currentText(artifacts ...*a2a.Artifact) string {
	text := ""
	for _, artifact := range artifacts {
		for _, part := range artifact.Parts {
			text += part.Text()
		}
	}
	return text
}
