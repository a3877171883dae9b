package main

import (
	"fmt"
	"net"

	"github.com/miekg/dns"
)

// newDNS answers for the names of the lab's internet, all of them at address, and
// says of every other name at once that it does not exist. Without it each such
// question would last until the resolvers' time is over.
func newDNS(address string, names ...string) dns.Handler {
	known := map[string]bool{}
	for _, name := range names {
		known[dns.Fqdn(name)] = true
	}
	return dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		answer := new(dns.Msg).SetReply(question)
		for _, q := range question.Question {
			switch {
			case !known[dns.CanonicalName(q.Name)]:
				answer.Rcode = dns.RcodeNameError
			case q.Qtype == dns.TypeA:
				answer.Answer = append(answer.Answer, &dns.A{
					Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5},
					A:   net.ParseIP(address),
				})
			}
		}
		w.WriteMsg(answer)
	})
}

// serveDNS answers on UDP and TCP until the process ends.
func serveDNS(address string, handler dns.Handler) error {
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return fmt.Errorf("listening for DNS: %w", err)
	}
	streams, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listening for DNS: %w", err)
	}
	go dns.ActivateAndServe(nil, packets, handler)
	go dns.ActivateAndServe(streams, nil, handler)
	return nil
}
