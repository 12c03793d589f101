//! `ringhold executor`: shows executors.

use ringhold_client::ExecutorInfo;
use serde_json::{Value, json};

use crate::arguments::{ExecutorCommand, Format};
use crate::connect::connect;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::output::{self, Table};

pub(super) async fn run(command: ExecutorCommand, format: Format) -> Result<Exit, Failure> {
    match command {
        ExecutorCommand::Ls(server) => {
            let executors = connect(&server).await?.cluster().executors().await?;
            let mut table = Table::new(&[
                "NAME",
                "POOL",
                "DURABILITY",
                "CAPACITY",
                "PARTITIONS",
                "IN USE",
                "PERSISTENCE",
            ]);
            for ExecutorInfo {
                config,
                partitions_in_use,
            } in &executors
            {
                table.row([
                    config.name.to_string(),
                    config.pool_size.to_string(),
                    config.durability.to_string(),
                    config.capacity.to_string(),
                    config.partition_count.get().to_string(),
                    partitions_in_use.to_string(),
                    json::persistence(config.persistence).to_owned(),
                ]);
            }
            let documents: Vec<Value> = executors.iter().map(document).collect();
            output::print(format, &json!({ "executors": documents }), &table)?;
        }
        ExecutorCommand::Get { server, name } => {
            let executor = connect(&server).await?.cluster().executor(&name).await?;
            let settings = document(&executor);
            let mut table = Table::of_pairs::<String>([]);
            for (name, value) in settings.as_object().into_iter().flatten() {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                table.row([name.replace('_', "-"), text]);
            }
            output::print(format, &settings, &table)?;
        }
    }
    Ok(Exit::Ok)
}

fn document(executor: &ExecutorInfo) -> Value {
    let mut document = json::executor_settings(&executor.config);
    document["name"] = executor.config.name.to_string().into();
    document["partitions_in_use"] = executor.partitions_in_use.into();
    document
}
