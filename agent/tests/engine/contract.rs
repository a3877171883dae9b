//! The real Engine keeps the same contract as the model.

use omni_scale_agent::stack::testing::{Fixture, engine_contract};

use super::bench::on_the_engine;

#[tokio::test]
async fn the_real_engine_keeps_the_contract() {
    on_the_engine(async |bench| {
        let image = bench
            .registry
            .publish(&bench.docker, "contract", "0", "contract")
            .await;
        let fixture = Fixture {
            project: bench.project.clone(),
            image,
            command: vec!["/bin/sleep".to_owned(), "1000".to_owned()],
        };
        engine_contract(&*bench.engine, &fixture).await;
    })
    .await;
}
