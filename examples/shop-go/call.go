package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
)

// proxy is http.ProxyFromEnvironment, but for localhost too, which Go's own never sends to a proxy.
func proxy(request *http.Request) (*url.URL, error) {
	if proxy := os.Getenv("HTTP_PROXY"); proxy != "" {
		return url.Parse(proxy)
	}
	return nil, nil
}

// call asks a dependency. What it says is decoded into said, if it is content.
func (s *shop) call(r *http.Request, whom, method, url string, body, said any) (int, error) {
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			return 0, err
		}
	}
	request, err := http.NewRequestWithContext(r.Context(), method, url, &sent)
	if err != nil {
		return 0, err
	}
	for _, name := range []string{"Traceparent", "X-Request-Id"} {
		if value := r.Header.Get(name); value != "" {
			request.Header.Set(name, value)
		}
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	answer, err := s.client.Do(request)
	if err == nil {
		err = read(answer, said)
	}
	if err != nil {
		log.Printf("%s: %v", whom, err)
		return 0, refused{http.StatusBadGateway, fmt.Sprintf("the %s does not answer", whom)}
	}
	return answer.StatusCode, nil
}

// read decodes an answer and reads it to its end, without which the connection would not be used again.
func read(answer *http.Response, said any) error {
	defer answer.Body.Close()
	if answer.StatusCode < 300 {
		if err := json.NewDecoder(answer.Body).Decode(said); err != nil {
			return err
		}
	}
	_, err := io.Copy(io.Discard, answer.Body)
	return err
}
