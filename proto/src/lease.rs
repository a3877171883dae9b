//! How a refused request says that the lease it was made under is over: not in words, which only
//! people read, but as [`LeaseLost`] in the details of the status.
//!
//! The details are an encoded `google.rpc.Status`, the form that gRPC tools know
//! (<https://github.com/googleapis/googleapis/blob/master/google/rpc/status.proto>).

use prost::Message;

use crate::v1::LeaseLost;

/// The name of the message, as `google.protobuf.Any` wants it.
const TYPE: &str = "type.googleapis.com/omni_scale.v1.LeaseLost";

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// The details of a status with this code (a gRPC number) and message.
pub fn to_details(code: i32, message: &str, lost: &LeaseLost) -> Vec<u8> {
    let detail = Any {
        type_url: TYPE.to_owned(),
        value: lost.encode_to_vec(),
    };
    let status = RpcStatus {
        code,
        message: message.to_owned(),
        details: vec![detail],
    };
    status.encode_to_vec()
}

/// What the details of a status say of the lease. None: it is about something else.
pub fn from_details(details: &[u8]) -> Option<LeaseLost> {
    let status = RpcStatus::decode(details).ok()?;
    let mut details = status.details.into_iter();
    let lost = details.find(|detail| detail.type_url == TYPE)?;
    LeaseLost::decode(lost.value.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::LeaseHolder;

    #[test]
    fn a_lost_lease_is_read_as_it_was_written() {
        let lost = LeaseLost {
            epoch: 7,
            holder: Some(LeaseHolder {
                holder: "bob@laptop".to_owned(),
                epoch: 8,
                ..LeaseHolder::default()
            }),
        };
        assert_eq!(from_details(&to_details(9, "over", &lost)), Some(lost));
    }

    #[test]
    fn other_details_are_about_something_else() {
        assert_eq!(from_details(b""), None);
        assert_eq!(from_details(b"\xff\xff"), None);
        let other = RpcStatus {
            code: 9,
            message: "stale".to_owned(),
            details: vec![Any::default()],
        };
        assert_eq!(from_details(&other.encode_to_vec()), None);
    }
}
