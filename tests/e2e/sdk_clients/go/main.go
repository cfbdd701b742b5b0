// The official Go SDKs of both versions of A2A, as a client and as an agent.
//
//	sdk client VERSION BINDING {"<agent>": "<base URL>", ...}
//	sdk agent VERSION
//
// VERSION is 0.3 or 2.4, BINDING is JSONRPC or HTTP+JSON. A client finds each agent by the card at its base URL, tries
// every operation, and prints what came of it: `ok`, or the reason of the error. It tries all agents at once. An agent
// serves at a free port of this machine, and prints its address.
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

func runClient(version, binding, agents string) error {
	var urls map[string]string
	if err := json.Unmarshal([]byte(agents), &urls); err != nil {
		return err
	}
	type outcome struct {
		name  string
		cells map[string]string
		err   error
	}
	outcomes := make(chan outcome)
	for name, url := range urls {
		go func() {
			cells, err := tryAgent(version, binding, url)
			outcomes <- outcome{name, cells, err}
		}()
	}
	found := map[string]map[string]string{}
	for range urls {
		one := <-outcomes
		if one.err != nil {
			return fmt.Errorf("%s: %w", one.name, one.err)
		}
		found[one.name] = one.cells
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

func tryAgent(version, binding, url string) (map[string]string, error) {
	ctx := context.Background()
	var client client
	var err error
	if version == "0.3" {
		client, err = newLegacyClient(ctx, url)
	} else {
		client, err = newCurrentClient(ctx, url, binding)
	}
	if err != nil {
		return nil, err
	}
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
