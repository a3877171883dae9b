//! What a product was asked with success, to be asked again for its health.

use omni_scale_probe::{BodyExpectation, Expectation, ProbeRequest};
use omni_scale_proto::id::{ServiceName, StackName};

use crate::error::chain;
use crate::service::checks::StackChecks as _;
use crate::service::health::Health;
use crate::stack::Stacks;
use crate::stack::applied::Question;

impl Stacks {
    /// Keeps a question that was answered well. Only plain HTTP inside of the namespace: that is
    /// where a product says how it is, and it needs no roots.
    pub(super) async fn remember(&self, stack: &StackName, service: &str, request: &ProbeRequest) {
        let Some(question) = question(request) else {
            return;
        };
        let known = self
            .record(stack)
            .and_then(|record| record.questions.get(service).cloned());
        if known.as_ref() == Some(&question) {
            return;
        }
        let (stack, service) = (stack.clone(), service.to_owned());
        let kept = self
            .keep(move |records| {
                records.update(&stack, |record| {
                    record.questions.insert(service, question);
                })
            })
            .await;
        if let Err(failure) = kept {
            tracing::warn!(error = chain(&failure), "a question for health is not kept");
        }
    }

    /// The answers of all products that are known how to ask. `None`: there is none.
    pub(in crate::stack) async fn products_answer(&self) -> Option<Health> {
        let mut whole = None;
        for stack in self.names() {
            let questions = self.record(&stack).map(|record| record.questions);
            for (service, question) in questions.unwrap_or_default() {
                let Ok(service) = service.parse::<ServiceName>() else {
                    continue;
                };
                let answer = self.ask(&stack, &service, question).await;
                whole = Some(match (whole, answer) {
                    (None, answer) => answer,
                    (Some(Health::NotServing), _) | (_, Health::NotServing) => Health::NotServing,
                    (Some(Health::Unknown), _) | (_, Health::Unknown) => Health::Unknown,
                    (Some(Health::Serving), Health::Serving) => Health::Serving,
                });
            }
        }
        whole
    }

    async fn ask(&self, stack: &StackName, service: &ServiceName, question: Question) -> Health {
        let body = if question.empty_body {
            BodyExpectation::Empty
        } else {
            BodyExpectation::Any
        };
        let request = ProbeRequest::status(&question.url, question.status, body, "");
        match self.probe_in_namespace(stack, service, request).await {
            Ok(report) if report.met => Health::Serving,
            Ok(_) => Health::NotServing,
            Err(finding) if finding.status == omni_scale_proto::v1::CheckStatus::Failed => {
                Health::NotServing
            }
            Err(_) => Health::Unknown,
        }
    }
}

fn question(request: &ProbeRequest) -> Option<Question> {
    let Expectation::Status { code, body } = &request.expect else {
        return None;
    };
    let empty_body = match body {
        BodyExpectation::Any => false,
        BodyExpectation::Empty => true,
        BodyExpectation::Contains { .. } => return None,
    };
    request.url.starts_with("http://").then(|| Question {
        url: request.url.clone(),
        status: *code,
        empty_body,
    })
}
