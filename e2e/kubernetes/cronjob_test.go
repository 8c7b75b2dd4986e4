// Package kubernetes holds the example for Kubernetes against Kubernetes' own types. It is
// a module of its own, so that nothing else needs them.
package kubernetes

import (
	"bytes"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"
)

const example = "../../configs/kubernetes/cronjob.yaml"

// TestCronJob: every field of the example is one that Kubernetes knows, and what must fit
// together does.
func TestCronJob(t *testing.T) {
	documents := read(t)
	if len(documents) != 2 {
		t.Fatalf("got %d documents, want a CronJob and a claim", len(documents))
	}
	var job batchv1.CronJob
	var claim corev1.PersistentVolumeClaim
	decode(t, documents[0], &job)
	decode(t, documents[1], &claim)

	if job.APIVersion != "batch/v1" || job.Kind != "CronJob" || claim.Kind != "PersistentVolumeClaim" {
		t.Errorf("got %s %s and %s", job.APIVersion, job.Kind, claim.Kind)
	}
	if job.Spec.ConcurrencyPolicy != batchv1.ForbidConcurrent {
		t.Errorf("concurrencyPolicy: got %s", job.Spec.ConcurrencyPolicy)
	}
	if _, err := time.LoadLocation(*job.Spec.TimeZone); err != nil {
		t.Error(err)
	}
	pod := job.Spec.JobTemplate.Spec.Template.Spec
	container := pod.Containers[0]
	if pod.RestartPolicy != corev1.RestartPolicyNever || container.Args[0] != "sync" {
		t.Errorf("got %s, %q", pod.RestartPolicy, container.Args)
	}
	if !regexp.MustCompile(`^ghcr\.io/regsync/regsync:\d+\.\d+\.\d+$`).MatchString(container.Image) {
		t.Errorf("the image %s names no version", container.Image)
	}
	checkDrain(t, pod, container)
	checkVolumes(t, pod, container, claim.Name)
	if limit := container.Resources.Limits[corev1.ResourceMemory]; limit.Cmp(resource.MustParse("150Mi")) < 0 {
		t.Errorf("the limit of memory is %s, less than a run may take", &limit)
	}
}

// checkDrain: the pod is not killed while regsync ends in good order.
func checkDrain(t *testing.T, pod corev1.PodSpec, container corev1.Container) {
	t.Helper()
	for _, arg := range container.Args {
		text, ok := strings.CutPrefix(arg, "--drain=")
		if !ok {
			continue
		}
		drain, err := time.ParseDuration(text)
		if err != nil || drain.Seconds() >= float64(*pod.TerminationGracePeriodSeconds) {
			t.Errorf("%s, and the pod is killed after %d s: %v", arg, *pod.TerminationGracePeriodSeconds, err)
		}
		return
	}
	t.Error("the example has no --drain")
}

// checkVolumes: what is mounted is there, and all paths of the arguments are on a volume.
func checkVolumes(t *testing.T, pod corev1.PodSpec, container corev1.Container, claim string) {
	t.Helper()
	for _, mount := range container.VolumeMounts {
		i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })
		if i < 0 {
			t.Errorf("%s is mounted and is no volume", mount.Name)
		} else if c := pod.Volumes[i].PersistentVolumeClaim; c != nil && c.ClaimName != claim {
			t.Errorf("volume %s claims %s, and the example makes %s", mount.Name, c.ClaimName, claim)
		}
	}
	for _, arg := range container.Args {
		_, path, ok := strings.Cut(arg, "=/")
		if ok && !slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool {
			return strings.HasPrefix("/"+path, m.MountPath)
		}) {
			t.Errorf("%s is on no volume", arg)
		}
	}
}

func read(t *testing.T) [][]byte {
	t.Helper()
	raw, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var documents [][]byte
	reader := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(raw)))
	defer reader.Close()
	for {
		buffer := make([]byte, len(raw)+1)
		n, err := reader.Read(buffer)
		if errors.Is(err, io.EOF) {
			return documents
		}
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, buffer[:n])
	}
}

// decode refuses fields that the type does not have.
func decode(t *testing.T, raw []byte, into any) {
	t.Helper()
	if err := strict.UnmarshalStrict(raw, into); err != nil {
		t.Fatal(err)
	}
}
