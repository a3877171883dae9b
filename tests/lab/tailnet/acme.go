package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// authority is the ACME authority that certifies the tailnet's names.
type authority struct {
	handler http.Handler
	// root is the PEM of the root that its certificates chain to.
	root []byte
}

// newAuthority makes an authority that believes every challenge: the tailnet's
// domain has no DNS of its own that could be asked.
// address is where its directory is served, as its clients name it.
func newAuthority(address string) authority {
	for name, value := range map[string]string{
		"PEBBLE_VA_ALWAYS_VALID": "1",
		"PEBBLE_VA_NOSLEEP":      "1",
		"PEBBLE_WFE_NONCEREJECT": "0",
	} {
		os.Setenv(name, value)
	}
	quiet := log.New(io.Discard, "", 0)
	profiles := map[string]ca.Profile{"default": {Description: "the only profile"}}
	store := db.NewMemoryStore()
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, profiles)
	validator := va.New(quiet, 80, 443, false, "", store)
	frontend := wfe.New(quiet, store, validator, issuer, []string{"acme.lab"}, false, false, 1, 1)
	return authority{
		handler: withOrderLocation(address, frontend.Handler()),
		root:    issuer.GetRootCert(0).PEM(),
	}
}

// withOrderLocation adds the order's URL to the answer to a finalize request.
// Pebble leaves it out, and tailscaled's ACME client then polls an empty URL
// (`Post "": unsupported protocol scheme`).
func withOrderLocation(address string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if order, ok := strings.CutPrefix(r.URL.Path, "/finalize-order/"); ok {
			w.Header().Set("Location", "https://"+address+"/my-order/"+order)
		}
		next.ServeHTTP(w, r)
	})
}

// listenerCertificate is what the lab's TLS listeners show. It is not issued by
// the authority, which has to be reachable before it can issue anything.
type listenerCertificate struct {
	pair tls.Certificate
	pem  []byte
}

// newListenerCertificate makes a self-signed certificate for address.
func newListenerCertificate(address string) (*listenerCertificate, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the listeners' key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "lab internet"},
		IPAddresses:           []net.IP{net.ParseIP(address)},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, fmt.Errorf("signing the listeners' certificate: %w", err)
	}
	return &listenerCertificate{
		pair: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private},
		pem:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	}, nil
}

// config serves the certificate over HTTP/1.1 only: DERP hijacks connections.
func (c *listenerCertificate) config() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{c.pair},
		NextProtos:   []string{"http/1.1"},
	}
}
