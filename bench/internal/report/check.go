package report

import (
	"errors"
	"fmt"

	"github.com/regsync/regsync/bench/internal/row"
)

// Check returns what is wrong apart from times: content that did not arrive, commands that failed, and regsync's requests and bytes above
// what its row allows.
func Check(results []row.Result) error {
	var problems []error
	for _, result := range results {
		for _, run := range result.Runs {
			name := result.Row.Name + ", " + run.Tool
			if !run.OK() {
				problems = append(problems, fmt.Errorf("%s: %d of %d tags arrived; %s", name, run.Tags, run.Wanted, run.Problems()))
			}
			if run.Tool != "regsync" {
				continue
			}
			if most := result.Row.MaxRequests; most > 0 && Requests(run) > most {
				problems = append(problems, fmt.Errorf("%s: %d requests, at most %d are allowed", name, Requests(run), most))
			}
			if result.Row.MaxBytes == 0 {
				continue
			}
			// Listings and refusals are not in the limit.
			const beside = 1_000_000
			if most := int64(result.Row.MaxBytes*float64(result.Limit.Read)) + beside; Read(run) > most {
				problems = append(problems, fmt.Errorf("%s: %d bytes read, at most %d are allowed", name, Read(run), most))
			}
			if most := int64(result.Row.MaxBytes * float64(result.Limit.Sent)); Sent(run) > most {
				problems = append(problems, fmt.Errorf("%s: %d bytes sent, at most %d are allowed", name, Sent(run), most))
			}
		}
	}
	return errors.Join(problems...)
}
