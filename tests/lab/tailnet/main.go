// Command tailnet is the internet of the lab: everything that lab hosts would
// otherwise reach over the real one, in one process at one address.
//
//   - a Tailscale control server (Tailscale's own test control server);
//   - a DERP relay with STUN, without which nodes never leave the state "Starting";
//   - an ACME authority (Pebble), from which nodes get their HTTPS certificates;
//   - DNS, for which only the names of this internet exist;
//   - the way to the registry, and a plain file server for release artifacts;
//   - an admin port, for looking at nodes and for faults (admin.go, faults.go).
//
// All state is in memory: when this process ends, the tailnet has forgotten its
// nodes and the authority its root, and the lab's hosts have to be made anew.
package main

import (
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// The ports of the lab's internet. Scripts and docs of the lab name them too.
const (
	portRegistry  = "5000"
	portArtifacts = "8000"
	portAdmin     = "9900"
	portControl   = "9911"
	portDERP      = "9912"
	portACME      = "14000"
	portSTUN      = "3478"
	portDNS       = "53"
)

func main() {
	address := flag.String("address", "", "the IPv4 address to serve on, as the hosts see it")
	domain := flag.String("domain", "tail.test", "the tailnet's MagicDNS domain")
	artifacts := flag.String("artifacts", "/artifacts", "the directory served on port "+portArtifacts)
	registry := flag.String("registry", "", "base URL of the registry behind port "+portRegistry)
	flag.Parse()

	if net.ParseIP(*address) == nil {
		log.Fatalf("-address %q is no IP address", *address)
	}
	registryURL, err := url.Parse(*registry)
	if err != nil || registryURL.Host == "" {
		log.Fatalf("-registry %q is no base URL", *registry)
	}
	if err := run(*address, *domain, *artifacts, registryURL); err != nil {
		log.Fatal(err)
	}
}

// run starts every server and returns the first error of any of them.
func run(address, domain, artifacts string, registry *url.URL) error {
	listener, err := newListenerCertificate(address)
	if err != nil {
		return err
	}
	if err := serveSTUN(net.JoinHostPort(address, portSTUN)); err != nil {
		return err
	}
	names := newDNS(address, "registry.lab")
	if err := serveDNS(net.JoinHostPort(address, portDNS), names); err != nil {
		return err
	}
	control := newControl(address, domain)
	authority := newAuthority(net.JoinHostPort(address, portACME))
	faults := newFaults("control", "acme", "registry", "artifacts")
	admin := &admin{
		control:  control,
		faults:   faults,
		acmeRoot: authority.root,
		listener: listener.pem,
	}

	failed := make(chan error)
	serve := func(port string, handler http.Handler, secure bool) {
		server := &http.Server{
			Addr:              net.JoinHostPort(address, port),
			Handler:           handler,
			ReadHeaderTimeout: 10 * time.Second,
		}
		go func() {
			if secure {
				server.TLSConfig = listener.config()
				failed <- server.ListenAndServeTLS("", "")
			} else {
				failed <- server.ListenAndServe()
			}
		}()
	}
	serve(portControl, faults.wrap("control", control), false)
	serve(portDERP, newDERP(), true)
	serve(portACME, faults.wrap("acme", authority.handler), true)
	serve(portRegistry, faults.wrap("registry", newRegistryProxy(registry)), false)
	serve(portArtifacts, faults.wrap("artifacts", http.FileServer(http.Dir(artifacts))), false)
	serve(portAdmin, admin.handler(), false)
	log.Printf("the lab's internet is up at %s", address)
	return errors.Join(errors.New("a server of the lab's internet ended"), <-failed)
}

// newRegistryProxy passes requests on to the real registry and keeps the Host
// header, so that the registry names its uploads as its clients know it.
func newRegistryProxy(registry *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(registry)
			request.Out.Host = request.In.Host
		},
		FlushInterval: -1,
	}
}
