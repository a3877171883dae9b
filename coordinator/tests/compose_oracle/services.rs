//! A generator of services: every key of the subset, in the forms that it may have.

use proptest::prelude::*;
use serde_json::{Value, json};

type Keys = Vec<(&'static str, BoxedStrategy<Value>)>;

fn port() -> impl Strategy<Value = Value> {
    let address = prop::sample::select(vec!["", "127.0.0.1:", "[::1]:", "192.168.1.20:"]);
    let protocol = prop::sample::select(vec!["", "/tcp", "/udp"]);
    prop_oneof![
        (1_u16.., protocol.clone()).prop_map(|(port, protocol)| json!(format!("{port}{protocol}"))),
        (address.clone(), 1_u16.., 1_u16.., protocol.clone()).prop_map(
            |(address, host, port, protocol)| json!(format!("{address}{host}:{port}{protocol}"))
        ),
        (1_u16..60000, 1_u16..60000, 0_u16..4, protocol).prop_map(
            |(host, port, more, protocol)| {
                json!(format!(
                    "{host}-{}:{port}-{}{protocol}",
                    host + more,
                    port + more
                ))
            }
        ),
        (1_u16.., prop::option::of(1_u16..), any::<bool>()).prop_map(|(port, host, text)| {
            let mut long = json!({ "target": port, "protocol": "udp", "host_ip": "127.0.0.1" });
            if let Some(host) = host {
                // Its schema knows the host's port as text and as a number.
                long["published"] = if text {
                    json!(host.to_string())
                } else {
                    json!(host)
                };
            }
            long
        }),
        (1_u16..).prop_map(|port| json!(port)),
    ]
}

/// Mounts, each with a target of its own.
fn mounts() -> BoxedStrategy<Value> {
    [mount("/0"), mount("/1"), mount("/2")]
        .map(prop::option::of)
        .prop_map(|mounts| json!(mounts.into_iter().flatten().collect::<Vec<_>>()))
        .boxed()
}

fn mount(root: &'static str) -> BoxedStrategy<Value> {
    let path = "(/[a-z]{1,5}){1,3}";
    let target = path.prop_map(move |path| format!("{root}{path}"));
    let access = prop::sample::select(vec!["", ":ro", ":rw"]);
    let size = prop::sample::select(vec!["64m", "1g", "4096", "1.5k"]);
    prop_oneof![
        (path, target.clone(), access.clone())
            .prop_map(|(source, target, access)| json!(format!("{source}:{target}{access}"))),
        (target.clone(), access)
            .prop_map(|(target, access)| json!(format!("data:{target}/{access}"))),
        (target.clone(), any::<bool>()).prop_map(|(target, read_only)| json!({
            "type": "volume", "source": "data", "target": target, "read_only": read_only,
        })),
        (path, target.clone()).prop_map(|(source, target)| json!({
            "type": "bind", "source": source, "target": target,
            "bind": { "create_host_path": true },
        })),
        (target, size).prop_map(|(target, size)| json!({
            "type": "tmpfs", "target": target, "tmpfs": { "size": size },
        })),
    ]
    .boxed()
}

fn duration() -> impl Strategy<Value = String> {
    prop_oneof![
        "[1-9][0-9]{0,2}(ms|s|m)",
        "[1-5]h[0-9]m[0-9]s",
        "[0-9]\\.[0-9]s",
    ]
}

fn health() -> impl Strategy<Value = Value> {
    let test = prop_oneof![
        Just(json!("curl -f http://localhost")),
        Just(json!(["CMD", "a", "b c"])),
        Just(json!(["CMD-SHELL", "a || b"])),
    ];
    prop_oneof![
        4 => (test, duration(), duration(), 0_u8..9).prop_map(|(test, interval, timeout, retries)| json!({
            "test": test, "interval": interval, "timeout": timeout, "retries": retries,
            "start_period": interval, "start_interval": timeout,
        })),
        1 => Just(json!({ "disable": true })),
        1 => Just(json!({ "test": ["NONE"] })),
    ]
}

fn choice(values: Vec<Value>) -> BoxedStrategy<Value> {
    prop::sample::select(values).boxed()
}

/// What a service is made of, and how it hangs together with others.
fn structured() -> Keys {
    let word = "[a-zA-Z0-9=./ _-]{1,8}";
    let pairs = prop_oneof![
        prop::collection::btree_map("[A-Za-z_][a-z.]{0,5}", word, 0..4).prop_map(|map| json!(map)),
        prop::collection::btree_map("[A-Za-z_][a-z.]{0,5}", "[a-z= ]{0,5}", 1..4).prop_map(|map| {
            json!(
                map.into_iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect::<Vec<_>>()
            )
        }),
    ]
    .boxed();
    let words = prop::collection::vec(word, 0..4)
        .prop_map(|words| json!(words))
        .boxed();
    vec![
        ("command", words.clone()),
        ("entrypoint", words),
        ("environment", pairs.clone()),
        ("labels", pairs),
        (
            "ports",
            prop::collection::vec(port(), 0..4)
                .prop_map(|ports| json!(ports))
                .boxed(),
        ),
        ("volumes", mounts()),
        (
            "tmpfs",
            choice(vec![
                json!("/tmpfs"),
                json!(["/tmpfs/a:size=1m", "/tmpfs/b:mode=1777,ro"]),
            ]),
        ),
        ("healthcheck", health().boxed()),
        (
            "depends_on",
            choice(vec![
                json!(["first"]),
                json!({ "first": { "condition": "service_healthy" } }),
                json!({ "first": { "condition": "service_completed_successfully", "required": true } }),
            ]),
        ),
        (
            "restart",
            choice(vec![
                json!("no"),
                json!("always"),
                json!("unless-stopped"),
                json!("on-failure"),
                json!("on-failure:3"),
            ]),
        ),
        (
            "cap_add",
            choice(vec![json!(["NET_ADMIN"]), json!(["NET_ADMIN", "NET_RAW"])]),
        ),
        ("cap_drop", choice(vec![json!(["ALL"])])),
        (
            "devices",
            choice(vec![
                json!(["/dev/net/tun"]),
                json!(["/dev/a:/dev/b", "/dev/c:/dev/d:r"]),
            ]),
        ),
        (
            "network_mode",
            choice(vec![
                json!("service:first"),
                json!("host"),
                json!("none"),
                json!("bridge"),
            ]),
        ),
    ]
}

/// What is one value, or a list of them.
fn simple() -> Keys {
    let one_or_more =
        prop_oneof![Just(json!("1.1.1.1")), Just(json!(["1.1.1.1", "8.8.8.8"]))].boxed();
    vec![
        ("hostname", choice(vec![json!("h")])),
        ("container_name", choice(vec![json!("c")])),
        (
            "logging",
            choice(vec![
                json!({ "driver": "local", "options": { "max-size": "10m", "max-file": 3 } }),
            ]),
        ),
        (
            "stop_grace_period",
            duration().prop_map(Value::from).boxed(),
        ),
        ("stop_signal", choice(vec![json!("SIGINT")])),
        ("user", choice(vec![json!("1000:1000"), json!("nobody")])),
        ("working_dir", choice(vec![json!("/w")])),
        (
            "sysctls",
            choice(vec![
                json!({ "net.ipv4.ip_forward": 1 }),
                json!(["a.b=1", "c.d=x"]),
            ]),
        ),
        (
            "security_opt",
            choice(vec![json!(["no-new-privileges:true"])]),
        ),
        (
            "init",
            choice(vec![json!(true), json!(false), json!("${UNSET:-true}")]),
        ),
        ("read_only", choice(vec![json!(true), json!(false)])),
        ("privileged", choice(vec![json!(true)])),
        ("pid", choice(vec![json!("host")])),
        ("ipc", choice(vec![json!("host"), json!("shareable")])),
        (
            "extra_hosts",
            choice(vec![
                json!(["a:1.2.3.4", "b=::1", "c:[::1]"]),
                json!({ "a": "1.2.3.4" }),
            ]),
        ),
        ("dns", one_or_more.clone()),
        ("dns_search", one_or_more),
        (
            "configs",
            choice(vec![
                json!(["inline"]),
                json!([{ "source": "inline", "target": "/etc/x", "uid": "5" }, "variable"]),
            ]),
        ),
    ]
}

/// A service that may hang on one named `first`, and use what the file of the test declares.
pub(crate) fn service() -> impl Strategy<Value = Value> {
    let keys: Vec<_> = structured()
        .into_iter()
        .chain(simple())
        .map(|(key, value)| prop::option::weighted(0.3, value).prop_map(move |value| (key, value)))
        .collect();
    keys.prop_map(|keys| {
        let mut service = json!({ "image": "registry.lab:5000/i:v1" });
        for (key, value) in keys {
            if let Some(value) = value {
                service[key] = value;
            }
        }
        // Ports belong to the owner of a namespace.
        if service["network_mode"] == "service:first" {
            service.as_object_mut().unwrap().remove("ports");
        }
        service
    })
}
