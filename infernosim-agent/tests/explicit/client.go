// A client that asks once: URL, method.
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

func main() {
	transport := &http.Transport{}
	if text := os.Getenv("http_proxy"); text != "" {
		proxy, _ := url.Parse(text)
		transport.Proxy = http.ProxyURL(proxy)
	}
	var body io.Reader
	if os.Args[2] == "POST" {
		body = strings.NewReader(strings.Repeat("go ", 30000))
	}
	request, _ := http.NewRequest(os.Args[2], os.Args[1], body)
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		panic(err)
	}
	answer.Header.Del("Via")
	fmt.Println(answer.StatusCode, answer.Header)
	io.Copy(os.Stdout, answer.Body)
}
