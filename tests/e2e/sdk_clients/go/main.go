// The official Go SDKs of both versions of A2A, as a client and as an agent.
//
//	sdk client VERSION BINDING {"<agent>": <target>, ...}
//	sdk agent VERSION
//
// VERSION is 0.3 or 2.4, BINDING is JSONRPC, HTTP+JSON or GRPC. A client finds each agent by its card, tries every
// operation, and prints what came of it: `ok`, or the reason of the error. It tries all agents at once. An agent serves
// at a free port of this machine, and prints its address.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	var err error
	switch os.Args[1] {
	case "client":
		err = runClient(os.Args[2], os.Args[3], os.Args[4])
	case "agent":
		err = runAgent(os.Args[2])
	default:
		err = fmt.Errorf("unknown command %q", os.Args[1])
	}
	if err != nil {
		log.Fatal(err)
	}
}

// target is an agent as a client is told of it.
type target struct {
	// URL is where its card is.
	URL string `json:"url"`
	// Habits are the names of what the agent does with a task that waits.
	Habits []string `json:"habits"`
	// GRPC is the address for gRPC of 0.3, which the card does not offer.
	GRPC string `json:"grpc"`
}

func runClient(version, binding, agents string) error {
	var targets map[string]target
	if err := json.Unmarshal([]byte(agents), &targets); err != nil {
		return err
	}
	type outcome struct {
		name  string
		cells map[string]string
		err   error
	}
	outcomes := make(chan outcome)
	for name, target := range targets {
		go func() {
			cells, err := tryAgent(version, binding, target)
			outcomes <- outcome{name, cells, err}
		}()
	}
	found := map[string]map[string]string{}
	for range targets {
		one := <-outcomes
		if one.err != nil {
			return fmt.Errorf("%s: %w", one.name, one.err)
		}
		found[one.name] = one.cells
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

func tryAgent(version, binding string, target target) (map[string]string, error) {
	ctx := context.Background()
	var client client
	var err error
	if version == "0.3" {
		client, err = newLegacyClient(ctx, target.URL, target.GRPC)
	} else {
		client, err = newCurrentClient(ctx, target.URL, binding)
	}
	if err != nil {
		return nil, err
	}
	client.habits = target.Habits
	return tryAll(ctx, client), nil
}

func runAgent(version string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	url := "http://" + listener.Addr().String() + "/"
	handler := newCurrentAgent(url)
	if version == "0.3" {
		handler = newLegacyAgent(url)
	}
	fmt.Println(url)
	return http.Serve(listener, handler)
}
