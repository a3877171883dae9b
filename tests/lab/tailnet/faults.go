package main

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A Fault changes how one of the lab's services answers. The zero value of a
// field leaves that side of the answer alone.
type Fault struct {
	// Path limits the fault to requests whose path contains it.
	Path string `json:"path,omitempty"`
	// Status is answered instead of asking the service.
	Status int `json:"status,omitempty"`
	// DelayMilliseconds is waited before anything is answered.
	DelayMilliseconds int `json:"delayMilliseconds,omitempty"`
	// BytesPerSecond limits the body's speed.
	BytesPerSecond int `json:"bytesPerSecond,omitempty"`
	// CutAfterBytes breaks the connection after so many bytes of the body.
	CutAfterBytes int `json:"cutAfterBytes,omitempty"`
	// Requests is how many requests the fault still hits; 0 means all.
	Requests int `json:"requests,omitempty"`
}

// faults holds the fault in force at each service that can have one.
type faults struct {
	mu      sync.Mutex
	current map[string]Fault
	known   []string
}

func newFaults(services ...string) *faults {
	return &faults{current: map[string]Fault{}, known: services}
}

// set puts a fault in force; the zero Fault ends it.
func (f *faults) set(service string, fault Fault) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, known := range f.known {
		if known != service {
			continue
		}
		if fault == (Fault{}) {
			delete(f.current, service)
		} else {
			f.current[service] = fault
		}
		return nil
	}
	return fmt.Errorf("no service %q: there are %s", service, strings.Join(f.known, ", "))
}

// all returns a copy of the faults in force.
func (f *faults) all() map[string]Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.current)
}

// take returns the fault that hits a request for path, and counts the hit.
func (f *faults) take(service, path string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault, ok := f.current[service]
	if !ok || !strings.Contains(path, fault.Path) {
		return Fault{}
	}
	switch fault.Requests {
	case 0:
	case 1:
		delete(f.current, service)
	default:
		counted := fault
		counted.Requests--
		f.current[service] = counted
	}
	return fault
}

// wrap puts the faults of a service before its handler.
func (f *faults) wrap(service string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault := f.take(service, r.URL.Path)
		select {
		case <-time.After(time.Duration(fault.DelayMilliseconds) * time.Millisecond):
		case <-r.Context().Done():
			return
		}
		if fault.Status != 0 {
			http.Error(w, "a fault of the lab", fault.Status)
			return
		}
		if fault.BytesPerSecond != 0 || fault.CutAfterBytes != 0 {
			w = &hinderedWriter{ResponseWriter: w, fault: fault}
		}
		next.ServeHTTP(w, r)
	})
}

// hinderedWriter is a response whose body is slow, or ends too early.
type hinderedWriter struct {
	http.ResponseWriter
	fault   Fault
	written int
}

// Write passes body on in pieces of at most a tenth of a second.
func (w *hinderedWriter) Write(body []byte) (int, error) {
	total := 0
	for len(body) > 0 {
		piece := body
		if rate := w.fault.BytesPerSecond; rate > 0 {
			piece = piece[:min(len(piece), max(rate/10, 1))]
			time.Sleep(time.Duration(len(piece)) * time.Second / time.Duration(rate))
		}
		if limit := w.fault.CutAfterBytes; limit > 0 && w.written+len(piece) > limit {
			panic(http.ErrAbortHandler)
		}
		written, err := w.ResponseWriter.Write(piece)
		w.written += written
		total += written
		if err != nil {
			return total, err
		}
		body = body[written:]
	}
	return total, nil
}

// Unwrap lets http.ResponseController reach the connection.
func (w *hinderedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
