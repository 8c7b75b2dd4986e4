package registry

import (
	"context"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
)

// intent is what the RoundTrippers have to know of a request.
type intent struct {
	// repository is whose credentials are used; empty for the registry as a whole.
	repository string
	// need are the scopes without which the request fails.
	need scopes
	// wish are scopes that later requests will need, so that one token serves all.
	wish scopes
	// from is the repository that a blob is mounted from.
	from string
	// account is whose limits apply at the registry.
	account string
	// item is what failures of the request are counted for; the path of the URL if empty.
	item string
	// stream marks the requests whose body or answer is a blob.
	stream bool
	// upload marks the requests that bring a blob to the registry.
	upload bool
	// pull marks the requests that count as pulls.
	pull bool
	// opens marks the requests whose answer names an upload session.
	opens bool
	// lasting asks for a token that has a third of its life left, because a body goes with
	// the request or follows it.
	lasting bool
	// asked is when the request was begun.
	asked time.Time
	// patience is how long the answer may take; the usual time if zero.
	patience time.Duration
}

type intentKey struct{}

func withIntent(ctx context.Context, in intent) context.Context {
	return context.WithValue(ctx, intentKey{}, in)
}

func intentOf(ctx context.Context) intent {
	in, _ := ctx.Value(intentKey{}).(intent)
	return in
}

// class is the limiter's.
func (in intent) class() limit.Class {
	switch {
	case in.upload:
		return limit.Write
	case in.stream:
		return limit.Read
	case in.pull:
		return limit.Pull
	default:
		return limit.Small
	}
}

func (r *Repository) reading() intent {
	in := intent{repository: r.name, account: r.account, need: scopes{repositoryScope(r.name, "pull")}}
	if !r.reader {
		in.wish = scopes{repositoryScope(r.name, "pull", "push")}
	}
	return in
}

func (r *Repository) writing() intent {
	return intent{repository: r.name, account: r.account, need: scopes{repositoryScope(r.name, "pull", "push")}}
}

// uploading is for the requests that bring a blob.
func (r *Repository) uploading(d content.Descriptor) intent {
	in := r.writing()
	in.upload, in.item = true, d.Digest.String()
	return in
}

func (r *Repository) deleting() intent {
	return intent{repository: r.name, account: r.account, need: scopes{repositoryScope(r.name, "delete", "pull")}}
}
