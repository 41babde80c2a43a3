//! So much of each caller and no more, so that none can starve the others.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bundler::work;
use erc4337::error_code;
use jsonrpsee::{
    MethodResponse, Methods,
    core::middleware::{Batch, BatchEntry, BatchEntryErr, Notification, RpcServiceT},
    types::{ErrorObjectOwned, Id, Request},
};
use serde_json::json;

use super::SharedQuota;
use crate::forward;

/// What a call that runs the EVM counts; others count one.
const HEAVY: u32 = 10;
/// Gas that one more unit stands for, beyond what a call that runs the EVM is free to have simulated.
const GAS_OF_UNIT: u64 = 50_000;
const GAS_INCLUDED: u64 = 2_000_000;
/// How much a caller may have at once, and how much it can come to owe: time of its rate.
const BURST: Duration = Duration::from_secs(1);
const MOST_DEBT: Duration = Duration::from_secs(10);
/// Calls that run the EVM of one caller at the same time: of the places for estimates it leaves some to others.
const AT_ONCE: usize = 48;

/// How much each caller has had lately.
#[derive(Clone, Debug)]
pub(super) struct Limiter {
    callers: Arc<Mutex<HashMap<IpAddr, Caller>>>,
    /// Units a second; 0: no limit.
    units: u32,
    /// Counted with other nodes, as long as that can be done.
    shared: Option<SharedQuota>,
}

/// One caller.
#[derive(Clone, Copy, Debug)]
struct Caller {
    /// When what it has had will be paid off at its rate (a generic cell rate algorithm).
    due: Instant,
    /// Calls that run the EVM at the moment.
    at_once: usize,
}

/// A call that was let in; to be ended.
#[derive(Debug)]
struct Admitted {
    limiter: Limiter,
    caller: IpAddr,
    heavy: bool,
}

impl Limiter {
    /// At most so many calls a second that run the EVM, or ten times as many others, by each caller; 0: no limit.
    pub(super) fn new(calls_per_second: u32, shared: Option<SharedQuota>) -> Self {
        Self { callers: Arc::default(), units: calls_per_second.saturating_mul(HEAVY), shared }
    }

    /// Lets a call in, unless the caller has had too much lately or has too many that run the EVM at once.
    async fn admit(&self, caller: IpAddr, method: &str) -> Option<Admitted> {
        if self.units == 0 {
            return Some(Admitted { limiter: self.clone(), caller, heavy: false });
        }
        // One that waits for its receipt does not run the EVM all that time.
        let waits = matches!(method, "fabstir_sendUserOperationSync" | "pimlico_sendUserOperationNow");
        let heavy = runs_the_evm(method) && !waits;
        let cost = if runs_the_evm(method) { HEAVY } else { 1 };
        if heavy && !self.enter(caller) {
            return None;
        }
        let admitted = Admitted { limiter: self.clone(), caller, heavy };
        if let Some(shared) = &self.shared
            && let Some(taken) = shared.admits(caller, cost, self.units).await
        {
            return taken.then_some(admitted);
        }
        self.take(caller, cost, BURST).then_some(admitted)
    }

    fn enter(&self, caller: IpAddr) -> bool {
        self.with(caller, |caller| {
            let room = caller.at_once < AT_ONCE;
            caller.at_once += usize::from(room);
            room
        })
    }

    /// Takes so many units, if they are there within this much time of the caller's rate.
    fn take(&self, caller: IpAddr, units: u32, within: Duration) -> bool {
        let (now, time) = (Instant::now(), self.time(units));
        self.with(caller, |caller| {
            let due = caller.due.max(now) + time;
            let there = due <= now + within;
            if there {
                caller.due = due;
            }
            there
        })
    }

    /// Holds against the caller what was simulated for it, beyond what is included.
    async fn charge(&self, caller: IpAddr, gas: u64) {
        let units = u32::try_from(gas.saturating_sub(GAS_INCLUDED) / GAS_OF_UNIT).unwrap_or(u32::MAX);
        if self.units == 0 || units == 0 {
            return;
        }
        if let Some(shared) = &self.shared
            && shared.charge(caller, units, self.units, MOST_DEBT).await
        {
            return;
        }
        let (now, time) = (Instant::now(), self.time(units));
        self.with(caller, |caller| caller.due = (caller.due.max(now) + time).min(now + MOST_DEBT));
    }

    fn time(&self, units: u32) -> Duration {
        BURST.saturating_mul(units) / self.units.max(1)
    }

    fn with<T>(&self, caller: IpAddr, change: impl FnOnce(&mut Caller) -> T) -> T {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        change(callers.entry(caller).or_insert_with(|| Caller { due: Instant::now(), at_once: 0 }))
    }

    /// Forgets callers that have not called for a while.
    pub(super) fn forget_the_silent(&self) {
        let now = Instant::now();
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        callers.retain(|_, caller| caller.at_once > 0 || caller.due > now);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if self.heavy {
            self.limiter.with(self.caller, |caller| caller.at_once = caller.at_once.saturating_sub(1));
        }
    }
}

fn runs_the_evm(method: &str) -> bool {
    matches!(
        method,
        "eth_sendUserOperation"
            | "fabstir_sendUserOperationSync"
            | "pimlico_sendUserOperationNow"
            | "eth_estimateUserOperationGas"
            | "fabstir_explainUserOperation"
            | "fabstir_explorerSearch"
            | "fabstir_explorerOperation"
            | "pm_getPaymasterStubData"
            | "pm_getPaymasterData"
            | "fabstir_prepareSponsoredUserOperation"
            | "fabstir_sponsorAndSend"
            | "pm_sponsorUserOperation"
            | "alchemy_requestGasAndPaymasterAndData"
            | "zd_sponsorUserOperation"
            | "pm_validateSponsorshipPolicies"
            | "fabstir_explainSponsorship"
    ) || session_keys::rpc::HEAVY.contains(&method)
        || forward::HEAVY.contains(&method)
}

/// Callers of one network are one caller: with IPv6, each has more addresses than anybody can count.
pub(super) fn caller(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from(u128::from(v6) >> 64 << 64)),
        },
    }
}

/// Asks the limiter before each call of one connection.
#[derive(Clone, Debug)]
pub(super) struct Limited<S> {
    pub(super) inner: S,
    pub(super) limiter: Limiter,
    pub(super) caller: IpAddr,
    /// What is served.
    pub(super) methods: Methods,
}

/// Characters of an unknown method's name that are said back.
const NAME_SHOWN: usize = 64;

/// Why a method is not there.
fn unknown(methods: &Methods, name: &str) -> Option<ErrorObjectOwned> {
    if methods.method(name).is_some() {
        return None;
    }
    let name: String = name.chars().take(NAME_SHOWN).collect();
    let hint = if forward::READS.contains(&name.as_str()) {
        ": it is one of the chain's node, which this endpoint asks for you where it is started with --forward-reads"
    } else {
        ": rpc.discover lists what is"
    };
    let message = format!("the method {name} is not served here{hint}");
    Some(ErrorObjectOwned::owned(error_code::METHOD_NOT_FOUND, message, Some(json!({ "method": name }))))
}

/// A request that nobody waits for the answer of, to be run all the same; none for subscriptions, which are answers.
fn quietly<'a>(notification: Notification<'a>) -> Option<Request<'a>> {
    if notification.method_name().contains("ubscribe") {
        return None;
    }
    let params = notification.params.map(|params| params.into_owned());
    let mut request = Request::owned(notification.method.into_owned(), params, Id::Null);
    request.extensions = notification.extensions;
    Some(request)
}

fn refusal() -> ErrorObjectOwned {
    let message = "too many requests, or too much was simulated for them: try again in a second, with fewer at once";
    ErrorObjectOwned::owned(error_code::LIMIT_EXCEEDED, message, None::<()>)
}

impl<S> RpcServiceT for Limited<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Send + Sync + Clone + 'static,
    S::BatchResponse: Send,
{
    type MethodResponse = S::MethodResponse;
    type NotificationResponse = S::NotificationResponse;
    type BatchResponse = S::BatchResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = Self::MethodResponse> + Send + 'a {
        let (inner, limiter, caller) = (self.inner.clone(), self.limiter.clone(), self.caller);
        let unknown = unknown(&self.methods, request.method_name());
        async move {
            let Some(_admitted) = limiter.admit(caller, request.method_name()).await else {
                return MethodResponse::error(request.id, refusal());
            };
            if let Some(error) = unknown {
                return MethodResponse::error(request.id, error);
            }
            let (answer, gas) = work::counted(inner.call(request)).await;
            limiter.charge(caller, gas).await;
            answer
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = Self::BatchResponse> + Send + 'a {
        let (inner, limiter, caller) = (self.inner.clone(), self.limiter.clone(), self.caller);
        let (methods, mut batch, whole) = (self.methods.clone(), batch, self.clone());
        async move {
            // One after the other: they are no more than one at once.
            let mut one = None;
            for entry in batch.iter_mut() {
                match entry {
                    Ok(BatchEntry::Call(request)) => {
                        match limiter.admit(caller, request.method_name()).await {
                            Some(admitted) if admitted.heavy => one = Some(admitted),
                            Some(_) => {}
                            None => {
                                *entry = Err(BatchEntryErr::new(request.id.clone(), refusal()));
                                continue;
                            }
                        }
                        if let Some(error) = unknown(&methods, request.method_name()) {
                            *entry = Err(BatchEntryErr::new(request.id.clone(), error));
                        }
                    }
                    Ok(BatchEntry::Notification(notification)) => {
                        whole.notification(notification.clone()).await;
                    }
                    Err(_) => {}
                }
            }
            let (answer, gas) = work::counted(inner.batch(batch)).await;
            limiter.charge(caller, gas).await;
            drop(one);
            answer
        }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = Self::NotificationResponse> + Send + 'a {
        let (service, done) = (self.clone(), self.inner.notification(notification.clone()));
        async move {
            if let Some(request) = quietly(notification) {
                service.call(request).await;
            }
            done.await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    async fn is_let_in(limiter: &Limiter, caller: IpAddr, method: &str) -> bool {
        limiter.admit(caller, method).await.is_some()
    }

    #[tokio::test]
    async fn each_caller_has_its_own_share_and_heavy_calls_weigh_ten_times_as_much() {
        let limiter = Limiter::new(2, None);
        for expected in [true, true, false] {
            assert_eq!(is_let_in(&limiter, ONE, "eth_sendUserOperation").await, expected);
        }
        assert!(is_let_in(&limiter, OTHER, "eth_sendUserOperation").await);
        for _ in 0..10 {
            assert!(is_let_in(&limiter, OTHER, "eth_chainId").await);
        }
        assert!(!is_let_in(&limiter, OTHER, "eth_chainId").await);
    }

    #[tokio::test]
    async fn whoever_has_much_simulated_pays_for_it_and_nobody_else_does() {
        let limiter = Limiter::new(100, None);
        // What a usual estimate takes is included.
        limiter.charge(ONE, GAS_INCLUDED).await;
        assert!(is_let_in(&limiter, ONE, "eth_estimateUserOperationGas").await);
        // Two seconds of its rate.
        limiter.charge(ONE, GAS_INCLUDED + 2_000 * GAS_OF_UNIT).await;
        assert!(!is_let_in(&limiter, ONE, "eth_chainId").await);
        assert!(is_let_in(&limiter, OTHER, "eth_estimateUserOperationGas").await);
        // However much it was, after a while it is paid off.
        limiter.charge(ONE, u64::MAX).await;
        let owed = limiter.with(ONE, |caller| caller.due).saturating_duration_since(Instant::now());
        assert!(owed <= MOST_DEBT, "{owed:?}");
    }

    #[tokio::test]
    async fn one_caller_has_so_many_that_run_the_evm_at_once_and_others_have_theirs() {
        let limiter = Limiter::new(1_000, None);
        let mut at_once = Vec::new();
        for _ in 0..AT_ONCE {
            at_once.push(limiter.admit(ONE, "eth_estimateUserOperationGas").await.unwrap());
        }
        assert!(!is_let_in(&limiter, ONE, "eth_estimateUserOperationGas").await);
        assert!(is_let_in(&limiter, ONE, "eth_getUserOperationReceipt").await);
        assert!(is_let_in(&limiter, OTHER, "eth_estimateUserOperationGas").await);
        at_once.pop();
        assert!(is_let_in(&limiter, ONE, "eth_estimateUserOperationGas").await);
        drop(at_once);
        limiter.callers.lock().unwrap().values_mut().for_each(|caller| caller.due = Instant::now());
        limiter.forget_the_silent();
        assert!(limiter.callers.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn zero_is_no_limit() {
        let limiter = Limiter::new(0, None);
        limiter.charge(ONE, u64::MAX).await;
        for _ in 0..10_000 {
            assert!(is_let_in(&limiter, ONE, "eth_sendUserOperation").await);
        }
    }

    #[test]
    fn what_runs_the_evm_weighs_whoever_serves_it() {
        let ours = ["eth_sendUserOperation", "pm_getPaymasterData", "fabstir_explainSponsorship"];
        for heavy in ours.iter().chain(&session_keys::rpc::HEAVY).chain(&forward::HEAVY) {
            assert!(runs_the_evm(heavy), "{heavy}");
        }
        for light in ["eth_chainId", "eth_getUserOperationReceipt", "pm_supportedEntryPoints"] {
            assert!(!runs_the_evm(light), "{light}");
        }
    }

    #[test]
    fn an_ipv6_network_is_one_caller() {
        let [first, second, mapped] =
            ["2001:db8::1", "2001:db8::ffff:2", "::ffff:10.0.0.1"].map(|it| it.parse().unwrap());
        assert_eq!(caller(first), caller(second));
        assert_eq!(caller(mapped), IpAddr::from([10, 0, 0, 1]));
    }
}
