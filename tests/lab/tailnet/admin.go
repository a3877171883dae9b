package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
)

// admin is the lab's admin port. README.md lists its requests.
//
// The control server reads the fields that the "tailnet" requests write without
// a lock of ours: change them when no node is logging in.
type admin struct {
	control  *testcontrol.Server
	faults   *faults
	acmeRoot []byte
	listener []byte
}

// node is how the admin port shows a node.
type node struct {
	StableID          tailcfg.StableNodeID `json:"stableId"`
	Name              string               `json:"name"`
	Hostname          string               `json:"hostname"`
	Addresses         []string             `json:"addresses"`
	Tags              []string             `json:"tags"`
	User              tailcfg.UserID       `json:"user"`
	MachineAuthorized bool                 `json:"machineAuthorized"`
	KeyExpiry         *time.Time           `json:"keyExpiry"`
}

func (a *admin) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /roots/acme.pem", pemFile(a.acmeRoot))
	mux.HandleFunc("GET /roots/listener.pem", pemFile(a.listener))

	mux.HandleFunc("GET /nodes", a.listNodes)
	mux.HandleFunc("POST /nodes/{node}/rename", a.onNode(rename))
	mux.HandleFunc("POST /nodes/{node}/tags", a.onNode(setTags))
	mux.HandleFunc("POST /nodes/{node}/expire", a.onNode(expire))
	mux.HandleFunc("POST /nodes/{node}/authorize", a.onNode(authorize))

	mux.HandleFunc("POST /tailnet/auth-key", a.requireAuthKey)
	mux.HandleFunc("POST /tailnet/machine-approval", a.requireMachineApproval)
	mux.HandleFunc("POST /tailnet/expire", a.expireAll)
	mux.HandleFunc("PUT /tailnet/capabilities", a.setCapabilities)

	mux.HandleFunc("GET /faults", a.listFaults)
	mux.HandleFunc("PUT /faults/{service}", a.setFault)
	mux.HandleFunc("DELETE /faults/{service}", a.clearFault)
	return mux
}

func pemFile(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		w.Write(content)
	}
}

func (a *admin) listNodes(w http.ResponseWriter, _ *http.Request) {
	nodes := []node{}
	for _, n := range a.control.AllNodes() {
		shown := node{
			StableID:          n.StableID,
			Name:              firstLabel(n.Name),
			Hostname:          n.Hostinfo.Hostname(),
			Tags:              n.Tags,
			User:              n.User,
			MachineAuthorized: n.MachineAuthorized,
		}
		for _, prefix := range n.Addresses {
			shown.Addresses = append(shown.Addresses, prefix.Addr().String())
		}
		if !n.KeyExpiry.IsZero() {
			shown.KeyExpiry = &n.KeyExpiry
		}
		nodes = append(nodes, shown)
	}
	writeJSON(w, nodes)
}

// onNode changes the node named in the path, by its first label or its stable
// id, and sends the change to every node of the tailnet.
func (a *admin) onNode(change func(*tailcfg.Node, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		found, err := a.find(r.PathValue("node"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		if err := change(found, r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		a.control.UpdateNode(found)
	}
}

func (a *admin) find(name string) (*tailcfg.Node, error) {
	var found *tailcfg.Node
	for _, n := range a.control.AllNodes() {
		if string(n.StableID) == name {
			return n, nil
		}
		if firstLabel(n.Name) != name {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("two nodes are named %q: name one by its stable id", name)
		}
		found = n
	}
	if found == nil {
		return nil, fmt.Errorf("no node %q", name)
	}
	return found, nil
}

// rename gives a node another name, as the control server of a real tailnet does
// with a suffix when the name is taken. Its certificate name stays.
func rename(n *tailcfg.Node, r *http.Request) error {
	label := r.FormValue("to")
	if label == "" || strings.Contains(label, ".") {
		return fmt.Errorf("to=%q is no single DNS label", label)
	}
	_, domain, _ := strings.Cut(n.Name, ".")
	n.Name = label + "." + domain
	return nil
}

func setTags(n *tailcfg.Node, r *http.Request) error {
	n.Tags = nil
	for tag := range strings.SplitSeq(r.FormValue("tags"), ",") {
		if tag == "" {
			continue
		}
		if err := tailcfg.CheckTag(tag); err != nil {
			return fmt.Errorf("tag %q: %w", tag, err)
		}
		n.Tags = append(n.Tags, tag)
	}
	return nil
}

// expire lets a node's key expire after a duration from now, which may be
// negative; "never" takes the expiry away.
func expire(n *tailcfg.Node, r *http.Request) error {
	after := r.FormValue("after")
	if after == "never" {
		n.KeyExpiry = time.Time{}
		return nil
	}
	duration, err := time.ParseDuration(after)
	if err != nil {
		return fmt.Errorf("after=%q is neither a duration nor \"never\"", after)
	}
	n.KeyExpiry = time.Now().Add(duration)
	return nil
}

func authorize(n *tailcfg.Node, r *http.Request) (err error) {
	n.MachineAuthorized, err = onOrOff(r)
	return err
}

// requireAuthKey demands the given key at every login from now on, of known
// nodes too; an empty key ends the demand.
func (a *admin) requireAuthKey(_ http.ResponseWriter, r *http.Request) {
	a.control.RequireAuthKey = r.FormValue("key")
}

// requireMachineApproval makes nodes that log in from now on wait for approval.
func (a *admin) requireMachineApproval(w http.ResponseWriter, r *http.Request) {
	on, err := onOrOff(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.control.RequireMachineAuth = on
}

func (a *admin) expireAll(w http.ResponseWriter, r *http.Request) {
	on, err := onOrOff(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.control.SetExpireAllNodes(on)
}

// setCapabilities replaces what every node may do at every other: a JSON object
// from capability to a list of values.
func (a *admin) setCapabilities(w http.ResponseWriter, r *http.Request) {
	var capabilities tailcfg.PeerCapMap
	if err := json.NewDecoder(r.Body).Decode(&capabilities); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.control.SetGlobalAppCaps(capabilities)
}

func (a *admin) listFaults(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, a.faults.all())
}

func (a *admin) setFault(w http.ResponseWriter, r *http.Request) {
	var fault Fault
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&fault)
	if err == nil {
		err = a.faults.set(r.PathValue("service"), fault)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (a *admin) clearFault(w http.ResponseWriter, r *http.Request) {
	if err := a.faults.set(r.PathValue("service"), Fault{}); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func onOrOff(r *http.Request) (bool, error) {
	on, err := strconv.ParseBool(r.FormValue("on"))
	if err != nil {
		return false, fmt.Errorf("on=%q is neither true nor false", r.FormValue("on"))
	}
	return on, nil
}

func firstLabel(name string) string {
	label, _, _ := strings.Cut(name, ".")
	return label
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.Encode(value)
}
