//! An order in which every service comes after what it needs.

use super::{InvalidStack, namespace_of};
use crate::v1;

/// Indices of the services so that each comes after its dependencies and after the owner of its
/// namespace; between free choices, the declared order decides. Names must resolve already.
pub(super) fn start_order(stack: &v1::Stack) -> Result<Vec<usize>, InvalidStack> {
    let needs = |service: &v1::Service, name: &str| {
        namespace_of(service) == Some(name)
            || service
                .depends_on
                .iter()
                .any(|dependency| dependency.service == name)
    };
    let mut waiting: Vec<usize> = (0..stack.services.len()).collect();
    let mut order = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|&candidate| {
            let service = &stack.services[candidate];
            !waiting
                .iter()
                .any(|&other| needs(service, &stack.services[other].name))
        });
        let Some(position) = ready else {
            let names: Vec<&str> = waiting
                .iter()
                .map(|&index| stack.services[index].name.as_str())
                .collect();
            return Err(InvalidStack::new(
                "services",
                format!("these wait for each other: {}", names.join(", ")),
            ));
        };
        order.push(waiting.remove(position));
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::examples::{after, service};

    #[test]
    fn a_circle_is_refused_by_name() {
        let mut one = service("one");
        one.depends_on = vec![after("two", v1::DependencyCondition::Started)];
        let mut two = service("two");
        two.depends_on = vec![after("one", v1::DependencyCondition::Started)];
        let stack = v1::Stack {
            services: vec![one, service("free"), two],
            ..v1::Stack::default()
        };
        let error = start_order(&stack).unwrap_err().to_string();
        assert!(
            error.contains("one, two") && !error.contains("free"),
            "{error}"
        );
    }

    #[test]
    fn free_services_keep_their_declared_order() {
        let stack = v1::Stack {
            services: vec![service("b"), service("a"), service("c")],
            ..v1::Stack::default()
        };
        assert_eq!(start_order(&stack).unwrap(), [0, 1, 2]);
    }
}
