//! The client's table of calls against the schema that Proxmox publishes: the file that `PVE_API_SCHEMA` names, which
//! `tests/tools/fetch-proxmox-schema` fetches. Without it the test fails; it is never passed over.

use omni_scale_proxmox::{
    CALLS,
    testing::schema::{Row, Schema},
};

#[test]
fn every_call_is_in_the_published_schema() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the harness says where the schema is"
    )]
    let path = std::env::var("PVE_API_SCHEMA").expect("PVE_API_SCHEMA names the schema's file");
    let json = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("`{path}` cannot be read: {error}"));
    let schema =
        Schema::read(&json).unwrap_or_else(|error| panic!("`{path}` is not the schema: {error}"));
    assert!(
        schema.methods() > 500,
        "`{path}` holds {} methods, which is not the whole API",
        schema.methods()
    );
    let faults: Vec<String> = CALLS
        .iter()
        .flat_map(|call| schema.faults(&Row::from(call)))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
