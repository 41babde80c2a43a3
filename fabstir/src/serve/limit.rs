//! So much of each caller and no more, so that none can starve the others.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::Arc,
};

use erc4337::error_code;
use governor::{DefaultKeyedRateLimiter, Quota};
use jsonrpsee::{
    MethodResponse,
    core::middleware::{Batch, BatchEntry, BatchEntryErr, Notification, RpcServiceT},
    types::{ErrorObjectOwned, Request},
};

use super::SharedQuota;

/// What a call that runs the EVM counts; others count one.
const HEAVY: u32 = 10;

/// How much each caller has had lately.
#[derive(Clone, Debug)]
pub(super) struct Limiter {
    callers: Option<Arc<DefaultKeyedRateLimiter<IpAddr>>>,
    /// Units a second.
    units: u32,
    /// Counted with other nodes, as long as that can be done.
    shared: Option<SharedQuota>,
}

impl Limiter {
    /// At most so many calls a second that run the EVM, or ten times as many others, by each caller; 0: no limit.
    pub(super) fn new(calls_per_second: u32, shared: Option<SharedQuota>) -> Self {
        let units = calls_per_second.saturating_mul(HEAVY);
        let quota = NonZeroU32::new(units).map(Quota::per_second);
        let callers = quota.map(|quota| Arc::new(DefaultKeyedRateLimiter::dashmap(quota)));
        Self { callers, units, shared }
    }

    /// Whether `caller` may make this call now.
    async fn admits(&self, caller: IpAddr, method: &str) -> bool {
        let Some(callers) = &self.callers else { return true };
        let cost = if runs_the_evm(method) { HEAVY } else { 1 };
        if let Some(shared) = &self.shared
            && let Some(admitted) = shared.admits(caller, cost, self.units).await
        {
            return admitted;
        }
        // A cost above the whole quota cannot be: the quota is a multiple of it.
        NonZeroU32::new(cost).is_none_or(|cost| matches!(callers.check_key_n(&caller, cost), Ok(Ok(()))))
    }

    /// Forgets callers that have not called for a while.
    pub(super) fn forget_the_silent(&self) {
        if let Some(callers) = &self.callers {
            callers.retain_recent();
        }
    }
}

fn runs_the_evm(method: &str) -> bool {
    matches!(
        method,
        "eth_sendUserOperation"
            | "fabstir_sendUserOperationSync"
            | "eth_estimateUserOperationGas"
            | "fabstir_explainUserOperation"
            | "fabstir_explorerSearch"
            | "fabstir_explorerOperation"
            | "pm_getPaymasterStubData"
            | "pm_getPaymasterData"
            | "fabstir_prepareSponsoredUserOperation"
            | "fabstir_sponsorAndSend"
            | "pm_sponsorUserOperation"
            | "pm_validateSponsorshipPolicies"
            | "fabstir_explainSponsorship"
    ) || session_keys::rpc::HEAVY.contains(&method)
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
}

fn refusal() -> ErrorObjectOwned {
    ErrorObjectOwned::owned(error_code::LIMIT_EXCEEDED, "too many requests: try again in a second", None::<()>)
}

impl<S> RpcServiceT for Limited<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Send + Sync + Clone + 'static,
{
    type MethodResponse = S::MethodResponse;
    type NotificationResponse = S::NotificationResponse;
    type BatchResponse = S::BatchResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = Self::MethodResponse> + Send + 'a {
        let (inner, limiter, caller) = (self.inner.clone(), self.limiter.clone(), self.caller);
        async move {
            match limiter.admits(caller, request.method_name()).await {
                true => inner.call(request).await,
                false => MethodResponse::error(request.id, refusal()),
            }
        }
    }

    fn batch<'a>(&self, mut batch: Batch<'a>) -> impl Future<Output = Self::BatchResponse> + Send + 'a {
        let (inner, limiter, caller) = (self.inner.clone(), self.limiter.clone(), self.caller);
        async move {
            for entry in batch.iter_mut() {
                let refused = match entry {
                    Ok(BatchEntry::Call(request)) if !limiter.admits(caller, request.method_name()).await => {
                        Some(request.id.clone())
                    }
                    _ => None,
                };
                if let Some(id) = refused {
                    *entry = Err(BatchEntryErr::new(id, refusal()));
                }
            }
            inner.batch(batch).await
        }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = Self::NotificationResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_caller_has_its_own_share_and_heavy_calls_weigh_ten_times_as_much() {
        let limiter = Limiter::new(2, None);
        let [first, second] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        for expected in [true, true, false] {
            assert_eq!(limiter.admits(first, "eth_sendUserOperation").await, expected);
        }
        assert!(limiter.admits(second, "eth_sendUserOperation").await);
        for _ in 0..10 {
            assert!(limiter.admits(second, "eth_chainId").await);
        }
        assert!(!limiter.admits(second, "eth_chainId").await);
    }

    #[tokio::test]
    async fn zero_is_no_limit() {
        let limiter = Limiter::new(0, None);
        for _ in 0..10_000 {
            assert!(limiter.admits(IpAddr::from([10, 0, 0, 1]), "eth_sendUserOperation").await);
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
