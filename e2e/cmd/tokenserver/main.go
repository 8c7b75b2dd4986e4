// Command tokenserver serves registry tokens:
//
//	tokenserver ADDRESS CONFIG.json
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/regsync/regsync/e2e/tokenserver"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: tokenserver ADDRESS CONFIG.json")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "tokenserver:", err)
		os.Exit(1)
	}
}

func serve(address, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var config tokenserver.Config
	if err := json.Unmarshal(text, &config); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	handler, err := tokenserver.New(config)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}
