//! A request on its way: a row of the table of calls, its path and its parameters.

use std::time::Duration;

use crate::{
    Address, Asked, Call, Method,
    encoding::{form, percent},
    upload::Upload,
};

/// Where the API begins.
const BASE: &str = "/api2/json";

/// A request that can be sent.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) call: &'static Call,
    pub(crate) path: String,
    /// In the order in which they were added. Held separately from the upload, which sends them as parts.
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) upload: Option<Upload>,
    /// Instead of [`crate::Bounds::answer`], for what takes long by its nature.
    pub(crate) limit: Option<Duration>,
}

impl Request {
    /// A request of `call`, whose path's parameters are `places` in their order.
    pub(crate) fn new(call: &'static Call, places: &[&str]) -> Self {
        let mut places = places.iter();
        let segment = |segment: &str| {
            if segment.starts_with('{') {
                // The number of places is a matter of the source: a test sends every call.
                places
                    .next()
                    .map_or_else(String::new, |value| percent(value))
            } else {
                segment.to_owned()
            }
        };
        let path = call
            .template
            .split('/')
            .map(segment)
            .collect::<Vec<_>>()
            .join("/");
        debug_assert!(
            places.next().is_none(),
            "{} has fewer places",
            call.template
        );
        Self {
            call,
            path,
            parameters: Vec::new(),
            upload: None,
            limit: None,
        }
    }

    /// Sends `name`, which must be in the call's row.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and names alike are written where they are used"
    )]
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        debug_assert!(
            self.call.parameter(name).is_some(),
            "`{name}` is not in the row of {}",
            self.call.template
        );
        self.parameters.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sends `name` when there is a value.
    pub(crate) fn maybe(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Sends `name` as the API wants booleans.
    pub(crate) fn flag(self, name: &str, value: bool) -> Self {
        self.with(name, if value { "1" } else { "0" })
    }

    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// What was asked, for errors.
    pub(crate) fn asked(&self, address: &Address) -> Asked {
        Asked {
            method: self.call.method,
            path: self.path.clone(),
            address: address.clone(),
        }
    }

    /// The request's target. Parameters of `GET` and `DELETE` stand in the URL: a `DELETE` with a body is
    /// answered with 501.
    pub(crate) fn target(&self) -> String {
        let query = match self.call.method {
            Method::Get | Method::Delete => form(&self.parameters),
            Method::Post | Method::Put => String::new(),
        };
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{BASE}{}{mark}{query}", self.path)
    }

    /// The form that is its body, for `POST` and `PUT`.
    pub(crate) fn body(&self) -> Option<String> {
        let form_is_body =
            matches!(self.call.method, Method::Post | Method::Put) && self.upload.is_none();
        (form_is_body && !self.parameters.is_empty()).then(|| form(&self.parameters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls;

    #[test]
    fn parameters_of_a_delete_stand_in_the_url() {
        let request = Request::new(&calls::DELETE, &["pve1", "105"])
            .flag("purge", true)
            .flag("destroy-unreferenced-disks", false);
        assert_eq!(
            request.target(),
            "/api2/json/nodes/pve1/qemu/105?purge=1&destroy-unreferenced-disks=0"
        );
        assert_eq!(request.body(), None);
    }

    #[test]
    fn parameters_of_a_post_are_its_body() {
        let request = Request::new(&calls::CREATE, &["pve1"])
            .with("vmid", 105)
            .with("boot", "order=scsi0;ide2");
        assert_eq!(request.target(), "/api2/json/nodes/pve1/qemu");
        assert_eq!(
            request.body().unwrap(),
            "vmid=105&boot=order%3Dscsi0%3Bide2"
        );
    }

    #[test]
    fn places_cannot_leave_their_segment() {
        let request = Request::new(
            &calls::DELETE_CONTENT,
            &["pve1", "local", "local:iso/../x y.iso"],
        );
        assert_eq!(
            request.path,
            "/nodes/pve1/storage/local/content/local%3Aiso%2F..%2Fx%20y.iso"
        );
    }
}
