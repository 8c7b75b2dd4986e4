// Command roots prints, as PEM, the root certificates that Mozilla trusts for servers without restriction: a file of
// certificates cannot say that a root is trusted only for certificates issued before some date. The container image has them.
package main

import (
	"bufio"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	if err := errors.Join(writeRoots(out), out.Flush()); err != nil {
		fmt.Fprintln(os.Stderr, "roots:", err)
		os.Exit(1)
	}
}

func writeRoots(out io.Writer) error {
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return err
		}
	}
	return nil
}
