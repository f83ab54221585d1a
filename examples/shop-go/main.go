// A shop that knows nothing of InfernoSIM. Standard library only.
//
// GET /api/demo asks the inventory; POST /checkout asks the inventory, charges the card and asks a courier for an offer.
// Environment: HOST (127.0.0.1), PORT (8080; 0 is any free one), INVENTORY_URL, PAYMENTS_URL, COURIER_URL,
// PAYMENTS_TOKEN, HTTP_PROXY.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const name = "shop-go"

func main() {
	log.SetFlags(0)
	log.SetPrefix(name + ": ")
	listener, err := net.Listen("tcp", net.JoinHostPort(env("HOST", "127.0.0.1"), env("PORT", "8080")))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: listening on http://%s\n", name, listener.Addr())

	shop := newShop()
	routes := map[string]route{"GET /api/demo": shop.demo, "POST /checkout": shop.checkout}
	server := &http.Server{Handler: handler(routes)}

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-stop.Done()
		patience, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		defer cancel()
		if server.Shutdown(patience) != nil {
			server.Close()
		}
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-done
}

// route gives a status and what to say as JSON, or why not.
type route func(*http.Request) (int, any, error)

func handler(routes map[string]route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		route := routes[r.Method+" "+r.URL.Path]
		if route == nil {
			route = nowhere
		}
		status, body, err := route(r)
		if err != nil {
			status = http.StatusBadGateway
			var refused refused
			if errors.As(err, &refused) {
				status = refused.status
			}
			body = map[string]string{"error": err.Error()}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(body); err != nil {
			log.Print(err)
		}
	}
}

func nowhere(*http.Request) (int, any, error) {
	return 0, nil, refused{http.StatusNotFound, "GET /api/demo and POST /checkout are all there is"}
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
