package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/regsync/regsync/cmd/regsync/internal/runlock"
	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/backend/hub"
	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/backend/store"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// hintFor returns the user's next step, or empty if none is known.
func (c userSettings) hintFor(err error) string {
	for _, hint := range []func(error) string{
		usageHint, heldHint, mirrorHint, webPageHint, c.accessHint, storageQuotaHint, policyHint, c.quotaHint, tlsHint, certificateHint,
		c.networkHint, diskHint, storedHint, imageHint, notFoundHint,
	} {
		if text := hint(err); text != "" {
			return text
		}
	}
	return ""
}

// is reports whether err has an error of type E in its tree.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// place is a position as messages name it: FILE:LINE.
func place(at config.Position) string { return fmt.Sprintf("%s:%d", at.File, at.Line) }

// subject returns the image that an error is about, or the zero value.
func subject(err error) reference.Reference {
	if side, ok := errors.AsType[*transfer.Error](err); ok {
		return side.Reference
	}
	if image, ok := errors.AsType[*imageError](err); ok {
		return image.ref
	}
	return reference.Reference{}
}

// unknownHost stands in hints for a registry that an error does not name.
const unknownHost = "HOST"

// registryOf returns the registry that an error is about, or unknownHost.
func registryOf(err error) string {
	if connection, ok := errors.AsType[*registry.ConnectionError](err); ok {
		return connection.Registry
	}
	if pause, ok := errors.AsType[*limit.PauseError](err); ok {
		return pause.Registry
	}
	if ref := subject(err); ref.IsRegistry() {
		return ref.Registry
	}
	if login, ok := errors.AsType[*loginError](err); ok {
		return login.host
	}
	if catalog, ok := errors.AsType[*noCatalogError](err); ok {
		return catalog.host
	}
	return unknownHost
}

func usageHint(err error) string {
	if hinted, ok := errors.AsType[*hintedError](err); ok {
		return hinted.hint
	}
	return ""
}

// heldHint is for a run that waited for another one, which has not ended.
func heldHint(err error) string {
	held, ok := errors.AsType[*runlock.HeldError](err)
	switch {
	case !ok:
		return ""
	case held.Holder.PID == 0:
		return "wait longer with --lock-wait; fuser -v " + strings.Join(held.Files, " ") + " shows the process that holds the lock"
	}
	return fmt.Sprintf("wait longer with --lock-wait, or stop the other run: kill %d (on %s)", held.Holder.PID, held.Holder.Host)
}

func webPageHint(err error) string {
	page, ok := errors.AsType[*registry.NotRegistryError](err)
	if !ok {
		return ""
	}
	return "check the address and the port: " + page.Host + "; the response may also come from a proxy or a login page"
}

// userSettings are where users have set what hints are about.
type userSettings struct {
	settings *config.Config // nil before it is loaded
	files    auth.Files     // of credentials
}

// registry returns what the configuration says of the registry that an error is about and, with a path that its
// repository is below, of its credentials.
func (c userSettings) registry(err error) (host, credentials config.Registry) {
	if c.settings == nil {
		return host, credentials
	}
	name, ref := registryOf(err), subject(err)
	for _, r := range c.settings.Registries {
		if r.Host != name {
			continue
		}
		if r.Path == "" {
			host = r
		}
		below := r.Path == "" || strings.HasPrefix(ref.Repository+"/", r.Path+"/")
		if below && r.Username != "" && len(r.Path) >= len(credentials.Path) {
			credentials = r
		}
	}
	return host, credentials
}

// credentialFile returns the file that has the credentials for what an error is about; empty if there is none.
func (c userSettings) credentialFile(err error) string {
	host := registryOf(err)
	if host == unknownHost { // do not ask a credential helper for it
		return ""
	}
	return c.files.Holder(context.Background(), host, subject(err).Repository)
}

func (c userSettings) accessHint(err error) string {
	refused, forbidden := errors.Is(err, content.ErrUnauthorized), errors.Is(err, content.ErrDenied)
	host := registryOf(err)
	switch {
	case is[*loginError](err):
		if refused {
			return "nothing was stored; an account with two-factor login needs an access token as its password"
		}
		return ""
	case is[*noCatalogError](err):
		return catalogHint(err, host)
	case !refused && !forbidden:
		return ""
	}
	var from string
	if _, set := c.registry(err); set.Username != "" {
		from = place(set.CredentialsAt)
	} else if from = c.credentialFile(err); from == "" && refused {
		return "to log in: regsync login " + host + "; some registries also return 401 if the repository does not exist"
	} else if from == "" {
		return "log in with an account that has this permission (regsync login " + host + "), or create the repository or namespace"
	}
	if refused {
		return fmt.Sprintf("the registry rejects the credentials in %s, or the repository does not exist", from)
	}
	return fmt.Sprintf("the account in %s is not allowed to do this, or the repository or namespace does not exist", from)
}

// catalogHint is for a registry that does not list its repositories.
func catalogHint(err error, host string) string {
	const tags = "to list the tags of one repository: regsync tags REPOSITORY"
	switch {
	case host == reference.DockerHub:
		return "Docker Hub has no catalog; " + tags
	case errors.Is(err, content.ErrUnauthorized):
		return "listing repositories needs a login, often an administrator's: regsync login " + host + "; " + tags
	case errors.Is(err, content.ErrDenied):
		return "listing repositories often needs an administrator's account; " + tags
	default:
		return tags
	}
}

func storageQuotaHint(err error) string {
	if !errors.Is(err, content.ErrQuota) {
		return ""
	}
	where := registryOf(err)
	if ref := subject(err); ref.IsRegistry() {
		where = ref.FamiliarName()
	}
	return "the storage quota for " + where + " is used up: delete images there, or ask the administrator for a higher quota"
}

func policyHint(err error) string {
	switch {
	case errors.Is(err, content.ErrImmutable):
		return "the registry does not allow this tag to change: use another tag"
	case errors.Is(err, content.ErrPolicy):
		return "a policy of the registry refuses the image"
	}
	return ""
}

// quotaHint distinguishes Docker Hub's three kinds of 429.
func (c userSettings) quotaHint(err error) string {
	answer, refused := errors.AsType[*registry.Error](err)
	pause, paused := errors.AsType[*limit.PauseError](err)
	pulls := paused && pause.Quota || refused && answer.Limit == registry.LimitPulls
	host := registryOf(err)
	switch {
	case !paused && (!refused || answer.Status != http.StatusTooManyRequests):
		return ""
	case refused && answer.Limit == registry.LimitAPI, paused && hub.Site == "https://"+pause.Registry:
		return "Docker Hub's API, which lists tags and repositories, has its own limit; copies do not use it. Name the tags, or try again later"
	case !pulls:
		return fmt.Sprintf("to send fewer requests, set requestsPerSecond or maxConnections: registries: {%q: {requestsPerSecond: N}}", host)
	}
	rest := ""
	if paused {
		rest = "; the next run copies the rest"
	}
	const fewer = "to use fewer pulls, set registries: {docker.io: {mirrors: [URL]}} in the configuration"
	_, set := c.registry(err)
	switch loggedIn := set.Username != "" || c.credentialFile(err) != ""; {
	case host != reference.DockerHub:
		return "the pull quota of " + host + " is used up" + rest
	case loggedIn:
		return "the pull quota of this Docker Hub account is used up" + rest + "; " + fewer
	default:
		return "Docker Hub's pull quota is used up" + rest + ". To get more pulls: regsync login docker.io; " + fewer
	}
}

// ownHost returns the registry that a connection failed at, as users call it; empty if it failed at another host, to which the
// registry had redirected: the settings of the registry do not apply there.
func ownHost(err error) string {
	connection, ok := errors.AsType[*registry.ConnectionError](err)
	if !ok || connection.Host != connection.Registry {
		return ""
	}
	return connection.Registry
}

func tlsHint(err error) string {
	notTLS, ok := errors.AsType[*registry.NotTLSError](err)
	switch {
	case !ok:
		return ""
	case !notTLS.HTTP:
		return "check the address and the port; " + notTLS.Host + " did not send a TLS response"
	}
	host := ownHost(err)
	if host == "" {
		return ""
	}
	return fmt.Sprintf("if you trust the network, use plain HTTP: --plain-http %s, or registries: {%q: {tls: disabled}} in the configuration", host, host)
}

func certificateHint(err error) string {
	host := ownHost(err)
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case host == "":
		return ""
	case is[x509.UnknownAuthorityError](err):
		return fmt.Sprintf("to trust the certificate's authority, set registries: {%q: {ca: FILE}} in the "+
			"configuration, or put it at /etc/docker/certs.d/%s/ca.crt; to skip verification: --insecure %s", host, host, host)
	case is[x509.HostnameError](err):
		return "use a host name for which the certificate was issued; to skip verification: --insecure " + host
	case ok && invalid.Reason == x509.Expired:
		return "the certificate has to be renewed at the registry, or the clock of this machine is wrong; to skip verification: --insecure " + host
	}
	return ""
}

func (c userSettings) networkHint(err error) string {
	host := registryOf(err)
	connection, ok := errors.AsType[*registry.ConnectionError](err)
	if !ok {
		if host == reference.DockerHub && errors.Is(err, context.DeadlineExceeded) {
			return hubHint
		}
		return ""
	}
	if proxy, ok := proxyOf(err); ok {
		if set, _ := c.registry(err); set.Proxy != "" {
			return fmt.Sprintf("cannot connect through the proxy%s, which is set at %s", proxy, place(set.ProxyAt))
		}
		return fmt.Sprintf("cannot connect through the proxy%s: check HTTPS_PROXY, or set registries: {%q: {proxy: URL}} (proxy: direct for no proxy) "+
			"in the configuration", proxy, host)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound && host != reference.DockerHub {
		name, _, _ := strings.Cut(connection.Host, ":") // not that of dns, which an answer may have chosen
		return fmt.Sprintf("%s cannot be resolved: check the name, and the DNS of this machine", name)
	}
	switch {
	case host == reference.DockerHub && unreachable(connection):
		return hubHint
	case errors.Is(err, syscall.ECONNREFUSED):
		return "check that the registry is running, and that the port is right: " + connection.Host
	case connection.Timeout():
		return fmt.Sprintf("%s did not respond in time; if a proxy is needed, set registries: {%q: {proxy: URL}} in the configuration",
			connection.Host, host)
	}
	return ""
}

// unreachable reports whether a connection could not be opened, or timed out.
func unreachable(connection *registry.ConnectionError) bool {
	opening, ok := errors.AsType[*net.OpError](connection)
	return connection.Timeout() || is[*net.DNSError](connection) || ok && opening.Op == "dial"
}

// proxyOf reports whether a connection failed at the proxy, and returns the proxy's address after a
// space, if it is known.
func proxyOf(err error) (address string, ok bool) {
	through, ok := errors.AsType[*net.OpError](err)
	if !ok || through.Op != "proxyconnect" {
		return "", false
	}
	if dial, ok := errors.AsType[*net.OpError](through.Err); ok && dial.Addr != nil {
		return " " + dial.Addr.String(), true
	}
	return "", true
}

const hubHint = "Docker Hub cannot be reached from here: set registries: {docker.io: {proxy: URL}} or " +
	"{docker.io: {mirrors: [URL]}} in the configuration, or HTTPS_PROXY"

// diskHint is for files that regsync keeps; for a full disk behind stdout or docker's
// config.json, the error says enough.
func diskHint(err error) string {
	ref := subject(err)
	disk, ok := errors.AsType[*layout.DiskError](err)
	switch {
	case !ok && full(err) && ref != (reference.Reference{}):
		return "use --state DIR to buffer in another directory"
	case !ok:
		return ""
	case ref.Transport == reference.Layout && disk.Full():
		return "free space in the file system of " + ref.Path + ", or choose another directory"
	case ref.Transport == reference.Layout && disk.ReadOnly():
		return "choose a writable directory"
	case disk.Full():
		return "free space with regsync rmi IMAGE, or use another directory with --store DIR"
	case disk.ReadOnly():
		return "use another directory with --store DIR"
	}
	return ""
}

func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

func storedHint(err error) string {
	if errors.Is(err, backend.ErrNoStore) {
		return "--store DIR or the variable REGSYNC_STORE sets it; by default it is in the home directory, and HOME is not set"
	}
	if absent, ok := errors.AsType[*notInStoreError](err); ok {
		return absent.hint
	}
	if conflict, ok := errors.AsType[*store.ConflictError](err); ok {
		return "regsync rmi -f " + conflict.ID.String() + " removes the image with all its names"
	}
	return ""
}

// imageHint is for images that cannot be copied as they are.
func imageHint(err error) string {
	switch {
	case errors.Is(err, transfer.ErrNoPlatform):
		return "to list its platforms: regsync inspect --remote " + cmp.Or(subject(err).Familiar(), "REF")
	case errors.Is(err, content.ErrSchema1):
		return "schema 1 is Docker's format from before 2017, which registries refuse: build the image again"
	case is[*registry.SizeError](err):
		return "raise the size limit of the registry or of its proxy (nginx: client_max_body_size)"
	case is[*transfer.ReferrersError](err):
		return "to copy images without signatures and other referrers: `referrers: false`, or copy without --referrers"
	case is[*registry.LayerURLsError](err):
		return "use --platform or `platforms` to leave out these platforms, or allow the URLs in the registry's configuration; for distribution: " +
			"validation: {manifests: {urls: {allow: [\"^https://\"]}}}. With --foreign-layers the manifest has the same URLs"
	case is[*registry.ArtifactError](err):
		return "to copy the images of an index without their attestations: --attestations=false, or `attestations: auto` in the configuration"
	case is[*registry.BlobsInIndexError](err):
		return "let BuildKit write the cache as an image: --cache-to type=registry,image-manifest=true,…; " +
			"or leave the tag out with tags: {exclude: [TAG]}"
	}
	return ""
}

func notFoundHint(err error) string {
	ref := subject(err)
	if !errors.Is(err, content.ErrNotFound) {
		return ""
	}
	if ref.Identifier() == "" {
		return repositoriesHint(ref)
	}
	side, copying := errors.AsType[*transfer.Error](err)
	if copying && side.Side == transfer.SideDestination {
		return "if the registry does not create repositories on push, create " + ref.FamiliarName() + " there first"
	}
	if part, ok := errors.AsType[*content.PartError](err); ok {
		where := "the source"
		if !copying {
			where = ref.FamiliarName()
		}
		text := where + " lacks " + part.Part.Digest.String() + ", a part of the image: push the image there again"
		if copying && part.Part.Platform != nil {
			text += ", or copy other platforms of it, with --platform or `platforms`"
		}
		return text
	}
	switch {
	case ref.Transport == reference.Layout && is[*layout.NoLayoutError](err):
		return ""
	case content.AnswerOf(err).Code == "NAME_UNKNOWN":
		return cmp.Or(repositoriesHint(ref), "the registry has no repository "+ref.FamiliarName()+": check its name")
	case ref.Transport == reference.Store:
		return storeHint
	case ref.Digest == "" && (ref.Transport == reference.Registry || ref.Transport == reference.Layout):
		return "to list its tags: regsync tags " + ref.FamiliarName()
	default: // a list of tags does not help to find a digest
		return ""
	}
}

// repositoriesHint is for a repository that a registry does not have; empty if the registry lists none.
func repositoriesHint(ref reference.Reference) string {
	if !ref.IsRegistry() || ref.Registry == reference.DockerHub {
		return ""
	}
	return "to list the repositories of " + ref.Registry + ": regsync repos " + ref.Registry
}

// mirrorHint is for errors of what a configuration requires.
func mirrorHint(err error) string {
	if empty, ok := errors.AsType[*mirror.NoRepositoryError](err); ok {
		return "to list its repositories: regsync repos " + empty.Registry
	}
	if catalog, ok := errors.AsType[*mirror.CatalogError](err); ok && !report.IsDeferred(err) {
		switch {
		case catalog.Registry == reference.DockerHub:
			return "Docker Hub lists the public repositories of one namespace, as team/*; name others in `from`, or in a file of `fromFile`"
		case denied(err) || errors.Is(err, content.ErrUnsupported):
			return "listing repositories often needs an administrator's account, and Aliyun ACR does not support it: " +
				"name the repositories in `from`, or in a file of `fromFile`"
		}
	}
	if is[*mirror.PushTimesError](err) && errors.Is(err, content.ErrUnsupported) {
		return "most registries do not state push times; use `createdWithin`, which reads the date in the image"
	}
	if none, ok := errors.AsType[*mirror.NothingSelectedError](err); ok && !none.Named && none.Listed > 0 {
		return "to list its tags: regsync tags " + none.Repository.FamiliarName()
	}
	switch {
	case is[*mirror.CollisionError](err):
		return "set another `to` or `rename` for one of them, or exclude it with `tags: {exclude: […]}`"
	case is[*transfer.TimeoutError](err):
		return "the next run continues; raise `timeout` for this entry"
	}
	return ""
}
