//! Settings of the bundler towards the chain: its nodes, what is remembered of it, what it promises.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use bundler::{Config, node::NodeClient};
use erc4337::ConditionalSend;

use crate::duration::duration;

/// Which nodes, and what is indexed of what they say.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ChainOptions {
    /// URL of an Ethereum node, HTTP or WebSocket; standard eth_* methods are all that is needed. Given several times,
    /// or with commas between, the others stand in for the one that fails.
    #[arg(long, env = "FABSTIR_NODE_URL", hide_env_values = true, value_delimiter = ',', required = true)]
    pub node_url: Vec<String>,
    /// URL of a node that alone is given our transactions, such as a sequencer's or a builder's; may be several.
    #[arg(long, env = "FABSTIR_PRIVATE_NODE_URL", hide_env_values = true, value_delimiter = ',')]
    pub private_node_url: Vec<String>,
    /// Whether bundles are tied to the nonces and deposits that they rest on: auto tries at the start whether the nodes that
    /// are given transactions have eth_sendRawTransactionConditional or base_sendRawTransactionValidity; always sends by
    /// the first, untried; never. By default the chain preset's, which is auto.
    #[arg(long, env = "FABSTIR_CONDITIONAL_SEND", num_args = 0..=1, require_equals = true, default_missing_value = "always")]
    pub conditional_send: Option<Conditional>,
    /// Folder of what outlives the process: accepted operations and the transactions signed for them, reputations, the
    /// index of executed operations, and what was promised to pay for. Without it a restart forgets them all.
    #[arg(long, env = "FABSTIR_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// First block whose operations are indexed; by default what was made in the six hours before the first head.
    #[arg(long, env = "FABSTIR_INDEX_START")]
    pub index_start: Option<u64>,
    /// How long executed operations stay in the index, such as 12h or 30d; by default for ever.
    #[arg(long, env = "FABSTIR_INDEX_RETENTION", value_parser = duration)]
    pub index_retention: Option<Duration>,
    /// Milliseconds between questions for a new head, where the node does not announce them; 0: as often as is called
    /// for, which is often while something of ours may be mined and seldom while nobody asks for anything.
    #[arg(long, env = "FABSTIR_POLL_MS", default_value_t = 0)]
    pub poll_ms: u64,
}

/// Whether bundles are sent under a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Conditional {
    /// Where nodes take them so.
    Auto,
    /// Whatever the nodes say.
    #[value(alias = "true")]
    Always,
    /// Never.
    #[value(alias = "false")]
    Never,
}

impl From<Conditional> for ConditionalSend {
    fn from(conditional: Conditional) -> Self {
        match conditional {
            Conditional::Auto => Self::Auto,
            Conditional::Always => Self::Always,
            Conditional::Never => Self::Never,
        }
    }
}

impl ChainOptions {
    /// These nodes alone, and everything else by default.
    pub fn of(node_url: &str) -> Self {
        Self { node_url: vec![node_url.to_owned()], ..Self::default() }
    }

    /// A client of the nodes.
    ///
    /// # Errors
    /// If a URL cannot be used.
    pub fn client(&self, config: &Config) -> Result<NodeClient> {
        Ok(NodeClient::several(
            &self.node_url,
            &self.private_node_url,
            config.chain.conditional_send,
            config.chain.block_time,
        )?)
    }

    /// Puts the rest into the bundler's configuration, and makes the folder.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn apply(&self, config: &mut Config) -> Result<()> {
        if let Some(folder) = &self.data_dir {
            std::fs::create_dir_all(folder).with_context(|| format!("data folder {}", folder.display()))?;
        }
        config.data_dir.clone_from(&self.data_dir);
        config.index_start = self.index_start;
        config.index_retention = self.index_retention;
        config.chain.conditional_send = self.conditional_send.map_or(config.chain.conditional_send, Into::into);
        config.poll_interval = (self.poll_ms > 0).then(|| Duration::from_millis(self.poll_ms));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use erc4337::ChainPreset;

    use super::*;

    fn applied(options: &ChainOptions) -> Config {
        let mut config = Config::new(ChainPreset::for_chain(8_453));
        options.apply(&mut config).unwrap();
        config
    }

    #[test]
    fn what_is_set_is_what_is_done_and_what_is_not_is_the_preset_s() {
        let preset = ChainPreset::for_chain(8_453);
        let config = applied(&ChainOptions::of("http://node"));
        assert_eq!(config.chain.conditional_send, preset.conditional_send);
        assert_eq!((config.poll_interval, config.index_start, config.index_retention), (None, None, None));
        assert_eq!(config.data_dir, None);

        let folder = std::env::temp_dir().join(format!("fabstir-chain-{}/data", std::process::id()));
        let set = ChainOptions {
            conditional_send: Some(Conditional::Never),
            data_dir: Some(folder.clone()),
            index_start: Some(5),
            index_retention: Some(Duration::from_secs(6)),
            poll_ms: 1,
            ..ChainOptions::default()
        };
        let config = applied(&set);
        assert_eq!(config.chain.conditional_send, ConditionalSend::Never);
        assert_eq!(config.poll_interval, Some(Duration::from_millis(1)));
        assert_eq!((config.index_start, config.index_retention), (Some(5), Some(Duration::from_secs(6))));
        assert_eq!(config.data_dir.as_ref(), Some(&folder));
        assert!(folder.is_dir(), "what is kept there finds it");
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    #[test]
    fn each_word_for_conditions_means_itself() {
        for (word, meant) in [
            (Conditional::Auto, ConditionalSend::Auto),
            (Conditional::Always, ConditionalSend::Always),
            (Conditional::Never, ConditionalSend::Never),
        ] {
            assert_eq!(ConditionalSend::from(word), meant);
        }
    }
}
