package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	webhook  = "http://127.0.0.1:9/webhook"
	configID = "p"

	operationTime = 60 * time.Second
	retryTime     = 50 * time.Millisecond

	// holdsAnswer: the agent answers only when the task is over, unless the client wants the answer at once.
	holdsAnswer = "holds_answer"
	// ignoresCancel: the agent answers a cancellation with the task as it is; it ends the task when told to release it.
	ignoresCancel = "ignores_cancel"
)

// errEndsEarly says that a stream ended before its task was over.
var errEndsEarly = errors.New("ends early")

// seen is what a client reads of a task or of an event, whatever its version.
type seen struct {
	taskID string
	state  string
	text   string
}

// client has the operations of one version in the form that the matrix tries. A nil function is an operation that the
// SDK does not have.
type client struct {
	habits     []string
	send       func(ctx context.Context, text string, atOnce bool) (seen, error)
	stream     func(ctx context.Context, text string, see func(seen)) error
	get        func(ctx context.Context, taskID string) (seen, error)
	list       func(ctx context.Context) ([]string, error)
	subscribe  func(ctx context.Context, taskID string, see func(seen)) error
	cancel     func(ctx context.Context, taskID string) (seen, error)
	pushSet    func(ctx context.Context, taskID string) (string, error)
	pushGet    func(ctx context.Context, taskID string) (string, error)
	pushList   func(ctx context.Context, taskID string) (string, error)
	pushDelete func(ctx context.Context, taskID string) error
	card       func(ctx context.Context) (string, error)
	reason     func(err error) string
}

func tryAll(ctx context.Context, c client) map[string]string {
	operations := map[string]func(context.Context, client) (bool, error){
		"send": trySend, "stream": tryStream, "get": tryGet, "list": tryList, "subscribe": trySubscribe,
		"cancel": tryCancel, "push set": tryPushSet, "push get": tryPushGet, "push list": tryPushList,
		"push delete": tryPushDelete, "card": tryCard,
	}
	found := map[string]string{}
	for name, try := range operations {
		if name == "list" && c.list == nil {
			continue
		}
		limited, stop := context.WithTimeout(ctx, operationTime)
		right, err := try(limited, c)
		stop()
		switch {
		case errors.Is(err, errEndsEarly):
			found[name] = errEndsEarly.Error()
		case err != nil && c.reason(err) != "":
			found[name] = c.reason(err)
		case err != nil:
			found[name] = fmt.Sprintf("broken: %v", err)
		case right:
			found[name] = "ok"
		default:
			found[name] = "wrong"
		}
	}
	return found
}

func (c client) has(habit string) bool {
	return slices.Contains(c.habits, habit)
}

func (s seen) isUnderWay() bool {
	return s.state == "submitted" || s.state == "working"
}

// openTask returns the id of a task that is not over.
func openTask(ctx context.Context, c client) (string, error) {
	task, err := c.send(ctx, "wait", c.has(holdsAnswer))
	return task.taskID, err
}

// follow waits until a task is over that its agent answered at once.
func follow(ctx context.Context, c client, task seen) (seen, error) {
	var err error
	for task.isUnderWay() && err == nil {
		time.Sleep(retryTime)
		task, err = c.get(ctx, task.taskID)
	}
	return task, err
}

// cancelOpen cancels a task, as soon as the agent that fetches its messages has returned the message.
func cancelOpen(ctx context.Context, c client, taskID string) (seen, error) {
	for {
		task, err := c.cancel(ctx, taskID)
		if err == nil || c.reason(err) != "TASK_NOT_CANCELABLE" {
			return task, err
		}
		time.Sleep(retryTime)
	}
}

// endTask makes the agent end a task.
func endTask(ctx context.Context, c client, taskID string) error {
	if c.has(ignoresCancel) {
		_, err := c.send(ctx, "release", false)
		return err
	}
	_, err := cancelOpen(ctx, c, taskID)
	return err
}

func trySend(ctx context.Context, c client) (bool, error) {
	task, err := c.send(ctx, "hello", false)
	if err == nil {
		task, err = follow(ctx, c, task)
	}
	return task.text == "hello" && task.state == "completed", err
}

func tryStream(ctx context.Context, c client) (bool, error) {
	hasText, state := false, ""
	err := c.stream(ctx, "hello", func(event seen) {
		hasText = hasText || event.text == "hello"
		if event.state != "" {
			state = event.state
		}
	})
	return hasText && state == "completed", err
}

func tryGet(ctx context.Context, c client) (bool, error) {
	taskID, err := openTask(ctx, c)
	if err != nil {
		return false, err
	}
	task, err := c.get(ctx, taskID)
	return task.taskID == taskID && (task.state == "input-required" || task.isUnderWay()), err
}

func tryList(ctx context.Context, c client) (bool, error) {
	taskID, err := openTask(ctx, c)
	if err != nil {
		return false, err
	}
	listed, err := c.list(ctx)
	for _, one := range listed {
		if one == taskID {
			return true, nil
		}
	}
	return false, err
}

func trySubscribe(ctx context.Context, c client) (bool, error) {
	taskID, err := openTask(ctx, c)
	if err != nil {
		return false, err
	}
	expected := "canceled"
	if c.has(ignoresCancel) {
		expected = "completed"
	}
	count, state := 0, ""
	err = c.subscribe(ctx, taskID, func(event seen) {
		if count++; count == 1 {
			_ = endTask(ctx, c, taskID) // the stream tells whether it worked
		}
		if event.state != "" {
			state = event.state
		}
	})
	if err == nil && count > 0 && state != expected {
		err = errEndsEarly
	}
	return state == expected, err
}

func tryCancel(ctx context.Context, c client) (bool, error) {
	taskID, err := openTask(ctx, c)
	if err != nil {
		return false, err
	}
	task, err := cancelOpen(ctx, c, taskID)
	if c.has(ignoresCancel) {
		return task.isUnderWay(), err
	}
	return task.state == "canceled", err
}

// pushConfig returns the id of a task that is not over and has a push notification config, and the config's URL.
func pushConfig(ctx context.Context, c client) (string, string, error) {
	taskID, err := openTask(ctx, c)
	if err != nil {
		return "", "", err
	}
	url, err := c.pushSet(ctx, taskID)
	return taskID, url, err
}

func tryPushSet(ctx context.Context, c client) (bool, error) {
	_, url, err := pushConfig(ctx, c)
	return url == webhook, err
}

func tryPushGet(ctx context.Context, c client) (bool, error) {
	taskID, _, err := pushConfig(ctx, c)
	if err != nil {
		return false, err
	}
	url, err := c.pushGet(ctx, taskID)
	return url == webhook, err
}

func tryPushList(ctx context.Context, c client) (bool, error) {
	taskID, _, err := pushConfig(ctx, c)
	if err != nil {
		return false, err
	}
	urls, err := c.pushList(ctx, taskID)
	return strings.Contains(urls, webhook), err
}

func tryPushDelete(ctx context.Context, c client) (bool, error) {
	taskID, _, err := pushConfig(ctx, c)
	if err != nil {
		return false, err
	}
	return true, c.pushDelete(ctx, taskID)
}

func tryCard(ctx context.Context, c client) (bool, error) {
	name, err := c.card(ctx)
	return name != "", err
}

// plainState returns the state of a task as 0.3 writes it.
func plainState(state string) string {
	plain := strings.ToLower(strings.TrimPrefix(state, "TASK_STATE_"))
	return strings.ReplaceAll(plain, "_", "-")
}
