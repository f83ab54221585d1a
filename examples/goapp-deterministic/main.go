// A service whose answer is always the same: GET /api/demo asks worldtimeapi.org what time it is, by way of the
// proxy that HTTP_PROXY names, and says "deterministic-go: ok" whatever came of it.
//
//	PORT  the port it listens on, 8084 by default; 0 is any free one
//
// It is one file and uses the standard library only, so that `go run` starts it without a module or a download.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

const dependency = "http://worldtimeapi.org/api/timezone/Etc/UTC"

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8084"
	}
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("goapp-deterministic: listening on http://localhost:%d\n", listener.Addr().(*net.TCPAddr).Port)

	http.Handle("/api/demo", demo(newClient()))
	log.Fatal(http.Serve(listener, nil))
}

// newClient gives a client that makes a connection for each call: which of several kept ones Go would take is chance,
// and nothing here may be.
func newClient() *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	return &http.Client{Transport: transport, Timeout: 2 * time.Second}
}

func demo(client *http.Client) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := askTheTime(client); err != nil {
			log.Print(err)
		}
		fmt.Fprintln(w, "deterministic-go: ok")
	}
}

// askTheTime makes the call; what time it is nobody wants to know.
func askTheTime(client *http.Client) error {
	answer, err := client.Get(dependency)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}
