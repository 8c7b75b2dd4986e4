package main

import (
	"errors"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// mirrorHint is for what a configuration asks for and cannot get.
func mirrorHint(err error) string {
	for _, hint := range []func(error) string{catalogHint, pushedHint, selectedHint, collisionHint, timeoutHint} {
		if text := hint(err); text != "" {
			return text
		}
	}
	return ""
}

// catalogHint is for patterns of repositories.
func catalogHint(err error) string {
	if empty, ok := errors.AsType[*mirror.NoRepositoryError](err); ok {
		return "the repositories it lists: regsync repos " + empty.Registry
	}
	catalog, ok := errors.AsType[*mirror.CatalogError](err)
	switch {
	case !ok || deferred(err):
		return ""
	case catalog.Registry == reference.DockerHub:
		return "Docker Hub lists the public repositories of one namespace, as team/*; name others in `from`, or in a file of `fromFile`"
	case denied(err) || errors.Is(err, content.ErrUnsupported):
		return "a catalog often needs an administrator's account, and Aliyun ACR has none: " +
			"name the repositories in `from`, or in a file of `fromFile`"
	}
	return ""
}

// pushedHint is for `pushedWithin` where nobody knows.
func pushedHint(err error) string {
	if _, ok := errors.AsType[*mirror.PushTimesError](err); ok && errors.Is(err, content.ErrUnsupported) {
		return "most registries do not tell; `createdWithin` goes by the date that is in the image"
	}
	return ""
}

func selectedHint(err error) string {
	none, ok := errors.AsType[*mirror.NothingSelectedError](err)
	if !ok || none.Named || none.Listed == 0 {
		return ""
	}
	return "the tags it has: regsync tags " + none.Repository.FamiliarName()
}

func collisionHint(err error) string {
	if _, ok := errors.AsType[*mirror.CollisionError](err); ok {
		return "another `to` for one of them, or a `rename`, keeps them apart; `tags: {exclude: […]}` leaves one out"
	}
	return ""
}

func timeoutHint(err error) string {
	if _, ok := errors.AsType[*transfer.TimeoutError](err); ok {
		return "the next run goes on from here; `timeout` gives the entry more time"
	}
	return ""
}
