//! The policies in force, and which of them a request is under.

mod load;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

pub use load::{Source, watch};

use crate::{
    api_key::KeyHash,
    policy::{Policy, PolicyError},
};

/// What a caller says of itself besides its request: over HTTP, by the path and by headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Of the path `/p/POLICY`.
    pub policy: Option<String>,
    /// Of the API key.
    pub key: Option<KeyHash>,
}

impl Caller {
    /// From the path, and from the headers `Authorization: Bearer KEY` and `x-api-key: KEY`.
    pub fn of(path: &str, authorization: Option<&str>, x_api_key: Option<&str>) -> Self {
        let policy = path.strip_prefix("/p/").map(|rest| rest.trim_end_matches('/').to_owned());
        let bearer = authorization.and_then(|header| {
            let (scheme, key) = header.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
        });
        let key = x_api_key.map(str::trim).or(bearer).filter(|key| !key.is_empty()).map(KeyHash::of);
        Self { policy, key }
    }
}

/// The policy that a request is under.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Name of the API key that was used, if it needs one.
    pub key: Option<String>,
}

/// Why no policy is chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unchosen {
    /// There is no such policy, or not for this caller: who has no key is not told which.
    #[error("there is no policy {0}, or it needs an API key that was not given")]
    Unknown(String),
    /// No policy has this key.
    #[error("the API key is not known")]
    Key,
    /// The path and the context name different ones.
    #[error("the URL is of the policy {url}, the context of {context}")]
    Contradiction {
        /// Of the URL.
        url: String,
        /// Of the context.
        context: String,
    },
    /// None is named, and there is none for that.
    #[error("name a policy: by the URL path /p/POLICY, by an API key, or by policyId in the context")]
    Unnamed,
}

/// Some policies, each under its name.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    policies: BTreeMap<String, Arc<Policy>>,
}

impl PolicySet {
    /// Of these.
    ///
    /// # Errors
    /// If two share a name, or two are the default.
    pub fn new(policies: impl IntoIterator<Item = Policy>) -> Result<Self, PolicyError> {
        let mut set = Self::default();
        for policy in policies {
            let id = policy.id.clone();
            if policy.is_default && set.fallback().is_some() {
                return Err(PolicyError::whole(format!("{id}: another policy is the default already")));
            }
            if set.policies.insert(id.clone(), Arc::new(policy)).is_some() {
                return Err(PolicyError::whole(format!("two policies are named {id}")));
            }
        }
        Ok(set)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.values()
    }

    /// The one of this name.
    pub fn get(&self, id: &str) -> Option<&Arc<Policy>> {
        self.policies.get(id)
    }

    /// The one that is taken where nothing chooses.
    pub fn fallback(&self) -> Option<&Arc<Policy>> {
        self.iter().find(|policy| policy.is_default)
    }

    /// The policy that a request of this caller is under, if its context names `named`.
    ///
    /// # Errors
    /// Why none.
    pub fn choose(&self, caller: &Caller, named: Option<&str>) -> Result<Scope, Unchosen> {
        let id = match (caller.policy.as_deref(), named) {
            (Some(url), Some(context)) if url != context => {
                return Err(Unchosen::Contradiction { url: url.to_owned(), context: context.to_owned() });
            }
            (id, other) => id.or(other),
        };
        let policy = match (id, &caller.key) {
            (Some(id), _) => self.get(id).ok_or_else(|| Unchosen::Unknown(id.to_owned()))?,
            // Where no policy has keys, a header with one is meant for others.
            (None, Some(key)) if self.iter().any(|policy| !policy.keys.is_empty()) => {
                let mut with_key = self.iter().filter(|policy| key_name(policy, key).is_some());
                let first = with_key.next().ok_or(Unchosen::Key)?;
                if with_key.next().is_some() {
                    return Err(Unchosen::Unnamed);
                }
                first
            }
            (None, _) => self.fallback().ok_or(Unchosen::Unnamed)?,
        };
        let key = caller.key.as_ref().and_then(|key| key_name(policy, key));
        if !policy.keys.is_empty() && key.is_none() {
            return Err(Unchosen::Unknown(policy.id.clone()));
        }
        Ok(Scope { policy: policy.clone(), key })
    }
}

/// Name of the key in the policy. Looks at all of them, whichever it is.
fn key_name(policy: &Policy, key: &KeyHash) -> Option<String> {
    policy.keys.iter().filter(|(_, hash)| hash == key).map(|(name, _)| name.clone()).next_back()
}

/// The policies in force. Cheap to clone; all clones change together.
#[derive(Clone, Debug)]
pub struct Policies {
    current: Arc<RwLock<Arc<PolicySet>>>,
}

impl Policies {
    /// These, until others are put in their place.
    pub fn new(set: PolicySet) -> Self {
        Self { current: Arc::new(RwLock::new(Arc::new(set))) }
    }

    /// Those of this moment.
    pub fn current(&self) -> Arc<PolicySet> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts others in their place. Requests under way go on under theirs.
    pub fn replace(&self, set: PolicySet) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::compile;

    fn policy(id: &str, more: &str) -> Policy {
        let text = format!("{more}\n[[call]]\nto = [\"0x0101010101010101010101010101010101010101\"]\n");
        compile(&text, id, &BTreeMap::new()).unwrap()
    }

    fn with_key(id: &str, key: &str) -> Policy {
        Policy { keys: vec![("app".into(), KeyHash::of(key))], ..policy(id, "") }
    }

    fn set() -> PolicySet {
        PolicySet::new([policy("open", "default = true"), policy("other", ""), with_key("closed", "k1")]).unwrap()
    }

    fn chosen(path: &str, key: Option<&str>, named: Option<&str>) -> Result<String, Unchosen> {
        set().choose(&Caller::of(path, None, key), named).map(|scope| scope.policy.id.clone())
    }

    #[test]
    fn a_policy_is_chosen_by_path_by_context_by_key_and_else_by_default() {
        assert_eq!(chosen("/p/other", None, None), Ok("other".into()));
        assert_eq!(chosen("/p/other/", None, Some("other")), Ok("other".into()));
        assert_eq!(chosen("/", None, Some("other")), Ok("other".into()));
        assert_eq!(chosen("/", Some("k1"), None), Ok("closed".into()));
        assert_eq!(chosen("/", None, None), Ok("open".into()));
        assert_eq!(chosen("/p/closed", Some("k1"), None), Ok("closed".into()));
    }

    #[test]
    fn a_policy_with_keys_is_not_there_for_those_without() {
        assert_eq!(chosen("/p/closed", None, None), Err(Unchosen::Unknown("closed".into())));
        assert_eq!(chosen("/p/closed", Some("k2"), None), Err(Unchosen::Unknown("closed".into())));
        assert_eq!(chosen("/p/nothing", None, None), Err(Unchosen::Unknown("nothing".into())));
        assert_eq!(chosen("/", Some("k2"), None), Err(Unchosen::Key));
        let contradiction = Unchosen::Contradiction { url: "open".into(), context: "other".into() };
        assert_eq!(chosen("/p/open", None, Some("other")), Err(contradiction));
        let unnamed = PolicySet::new([policy("other", "")]).unwrap().choose(&Caller::default(), None);
        assert_eq!(unnamed.unwrap_err(), Unchosen::Unnamed);
    }

    #[test]
    fn a_key_of_two_policies_needs_the_name_of_one() {
        let set = PolicySet::new([with_key("a", "k"), with_key("b", "k")]).unwrap();
        let caller = Caller { policy: None, key: Some(KeyHash::of("k")) };
        assert_eq!(set.choose(&caller, None).unwrap_err(), Unchosen::Unnamed);
        let scope = set.choose(&caller, Some("b")).unwrap();
        assert_eq!((scope.policy.id.as_str(), scope.key.as_deref()), ("b", Some("app")));
    }

    #[test]
    fn a_key_where_no_policy_has_any_is_for_others() {
        let set = PolicySet::new([policy("open", "default = true")]).unwrap();
        let caller = Caller { policy: None, key: Some(KeyHash::of("k")) };
        assert_eq!(set.choose(&caller, None).unwrap().policy.id, "open");
    }

    #[test]
    fn keys_come_by_either_header() {
        let key = Some(KeyHash::of("k"));
        assert_eq!(Caller::of("/", Some("bearer k"), None).key, key);
        assert_eq!(Caller::of("/", None, Some("k")).key, key);
        assert_eq!(Caller::of("/", Some("Basic k"), None).key, None);
        assert!(!format!("{:?}", Caller::of("/", None, Some("sesame"))).contains("sesame"));
    }

    #[test]
    fn names_and_the_default_are_unique() {
        assert!(PolicySet::new([policy("a", ""), policy("a", "")]).is_err());
        assert!(PolicySet::new([policy("a", "default = true"), policy("b", "default = true")]).is_err());
    }
}
