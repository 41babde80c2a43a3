//! A real Prometheus that scrapes one node and judges by the product's own alert rules, only sooner.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Empty};
use hyper::{Uri, body::Bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::stack::root;

/// A window that the rules look back over, instead of minutes and hours.
const WINDOW: &str = "[5s]";

/// A running server; it ends with this value.
#[derive(Debug)]
pub struct Prometheus {
    url: String,
    folder: PathBuf,
    _process: Child,
}

/// Status and body of a page.
pub async fn get(url: &str) -> Result<(u16, String)> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let response = client.get(url.parse::<Uri>()?).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// A port that nothing listens on now.
pub fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The rules as they are, but for how long a condition must hold and how far back rates look.
fn hurried(rules: &str) -> String {
    let rules = rules.lines().map(|line| match line.trim_start().strip_prefix("for: ") {
        Some(_) => line.replace(line.trim_start(), "for: 0s"),
        None => {
            let mut parts = line.split('[');
            let mut text = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                match part.split_once("m]") {
                    Some((minutes, rest)) if minutes.bytes().all(|it| it.is_ascii_digit()) => {
                        text += WINDOW;
                        text += rest;
                    }
                    _ => text = text + "[" + part,
                }
            }
            text
        }
    });
    rules.collect::<Vec<_>>().join("\n")
}

impl Prometheus {
    /// Starts one that scrapes the node whose figures are here, as often as twice a second.
    pub async fn start(metrics: SocketAddr) -> Result<Self> {
        let listen = free_port()?;
        let folder = std::env::temp_dir().join(format!("fabstir-prometheus-{}-{}", std::process::id(), listen.port()));
        std::fs::create_dir_all(&folder)?;
        let rules = std::fs::read_to_string(root().join("deploy/prometheus/alerts.yml"))?;
        std::fs::write(folder.join("alerts.yml"), hurried(&rules))?;
        let config = format!(
            "global: {{ scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 500ms }}\n\
             rule_files: [alerts.yml]\n\
             scrape_configs: [{{ job_name: fabstir, static_configs: [{{ targets: [\"{metrics}\"] }}] }}]\n"
        );
        std::fs::write(folder.join("prometheus.yml"), config)?;
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={listen}"))
            .args(["--log.level=error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("prometheus is not installed: run make prometheus")?;
        let prometheus = Self { url: format!("http://{listen}"), folder, _process: process };
        for _ in 0..1_000 {
            if get(&format!("{}/-/ready", prometheus.url)).await.is_ok_and(|(status, _)| status == 200) {
                return Ok(prometheus);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("prometheus does not become ready")
    }

    async fn ask(&self, path: &str) -> Result<Value> {
        let (status, body) = get(&format!("{}/api/v1/{path}", self.url)).await?;
        if status != 200 {
            bail!("{path}: {status} {body}");
        }
        Ok(serde_json::from_str::<Value>(&body)?["data"].take())
    }

    /// Names of the alerts that fire now.
    pub async fn firing(&self) -> Result<BTreeSet<String>> {
        let data = self.ask("alerts").await?;
        let alerts = data["alerts"].as_array().context("no alerts")?;
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        Ok(firing.filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned())).collect())
    }

    /// Every alert that there is a rule for.
    pub async fn rules(&self) -> Result<BTreeSet<String>> {
        let data = self.ask("rules").await?;
        let rules = data["groups"][0]["rules"].as_array().context("no rules")?;
        Ok(rules.iter().filter_map(|rule| Some(rule["name"].as_str()?.to_owned())).collect())
    }

    /// How many series an expression comes to now.
    pub async fn series(&self, expression: &str) -> Result<usize> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let data = self.ask(&format!("query?query={encoded}")).await?;
        Ok(data["result"].as_array().context("no result")?.len())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
