package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stunserver"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

// newControl makes the control server of a tailnet with MagicDNS and HTTPS
// certificates. Any auth key is accepted until the admin port demands one.
func newControl(address, domain string) *testcontrol.Server {
	control := &testcontrol.Server{
		DERPMap:         derpMap(address),
		ExplicitBaseURL: "http://" + net.JoinHostPort(address, portControl),
		MagicDNSDomain:  domain,
		DNSConfig:       &tailcfg.DNSConfig{Proxied: true, Domains: []string{domain}},
		// Not nil, so that the tags a node asks for at login are given to it.
		TagOwners: map[string][]string{},
		// Without it nodes do not see each other as online.
		AllOnline: true,
	}
	for _, tag := range []string{"tag:tsidp", "tag:omni", "tag:operator"} {
		control.TagOwners[tag] = []string{tag}
	}
	return control
}

// derpMap names the one relay of the lab: without a relay that answers, nodes
// stay in "Starting" for ever.
func derpMap(address string) *tailcfg.DERPMap {
	return &tailcfg.DERPMap{
		Regions: map[int]*tailcfg.DERPRegion{
			1: {
				RegionID:   1,
				RegionCode: "lab",
				RegionName: "Lab",
				Nodes: []*tailcfg.DERPNode{{
					Name:             "lab1",
					RegionID:         1,
					HostName:         address,
					IPv4:             address,
					IPv6:             "none",
					STUNPort:         port(portSTUN),
					STUNTestIP:       address,
					DERPPort:         port(portDERP),
					InsecureForTests: true,
				}},
			},
		},
	}
}

// newDERP makes the relay's handler.
func newDERP() http.Handler {
	return derpserver.Handler(derpserver.New(key.NewNode(), logger.Discard))
}

// serveSTUN answers STUN on address until the process ends.
func serveSTUN(address string) error {
	server := stunserver.New(context.Background())
	if err := server.Listen(address); err != nil {
		return fmt.Errorf("listening for STUN: %w", err)
	}
	go server.Serve()
	return nil
}

// port turns one of the constants above into a number.
func port(text string) int {
	number, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return number
}
