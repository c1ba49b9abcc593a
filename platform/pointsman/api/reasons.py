"""The closed catalogue of reasons: of conditions, decisions, reviews, dead letters and effects.

A reason is a name that people and alerts rely on: once released it is never renamed. Whoever needs one that is not here
adds it here, with one sentence that says what is the case, and where a condition can have it, a next step (`next_steps`).
`docs/reasons.md` is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pointsman.api.next_steps import NEXT_STEPS


class Reason(StrEnum):
    """A reason; `description` says in one sentence what is the case.

    `next_step` says what to do about it; it is empty for those that no condition has.
    """

    description: str
    next_step: str

    def __new__(cls, value: str, description: str = "") -> Reason:
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        member.next_step = NEXT_STEPS.get(value, "")
        return member

    # Every kind
    Ready = "Ready", "Everything that was asked for is in service."
    Progressing = "Progressing", "Work towards the newest spec is under way."
    Accepted = "Accepted", "The document is valid and everything in it can be honoured here."
    Deleting = "Deleting", "The object is being removed."
    Suspended = "Suspended", "The object is switched off by its own spec."
    InvalidReference = "InvalidReference", "A name in the document leads to something that does not have it."
    InvalidExpression = "InvalidExpression", "An expression cannot be compiled."
    InvalidSpec = "InvalidSpec", "The document contradicts itself or something that it refers to."
    NotHonouredHere = "NotHonouredHere", "This world cannot do something that the document asks for."
    NoRoom = "NoRoom", "The machine or the cluster has not enough free resources."
    NothingWatches = "NothingWatches", "No graph uses the object yet."

    # What an object refers to
    StreamNotFound = "StreamNotFound", "The event stream that is referred to does not exist."
    ViewNotFound = "ViewNotFound", "A feature view that is referred to does not exist."
    DeploymentNotFound = "DeploymentNotFound", "A model deployment that is referred to does not exist."
    TargetNotFound = "TargetNotFound", "An action target that is referred to does not exist."
    OperationNotFound = "OperationNotFound", "The action target has no operation of that name."
    FieldNotFound = "FieldNotFound", "The stream's contract has no field of that name."
    FieldTypeMismatch = "FieldTypeMismatch", "A field has a type that cannot be used that way."
    SecretNotFound = "SecretNotFound", "A secret, or the key in it, does not exist."
    ServiceNotFound = "ServiceNotFound", "The service that is referred to does not exist."
    StillReferredTo = "StillReferredTo", "Another object still refers to this one."

    # Models
    Resolving = "Resolving", "The model reference is being resolved and pinned."
    Resolved = "Resolved", "The model is pinned to a version and a digest."
    RegistryUnreachable = "RegistryUnreachable", "The model registry does not answer."
    ModelNotFound = (
        "ModelNotFound",
        "The registry has no model or version of that name, or nothing lies at the address.",
    )
    AliasNotFound = "AliasNotFound", "The registered model has no such alias."
    ArtifactRefused = "ArtifactRefused", "The model's files are not acceptable: format, size, content or signature."
    DigestMismatch = "DigestMismatch", "The files are not those that the digest names."
    ModelStarting = "ModelStarting", "The model server is starting."
    ModelServing = "ModelServing", "The model server has answered its probe correctly."
    ProbeFailed = "ProbeFailed", "The model server runs but its probe gives no right answer."
    Crashing = "Crashing", "The process ends again and again."
    OutOfMemory = "OutOfMemory", "The process was ended because it used too much memory."
    PortTaken = "PortTaken", "A port that is needed is in use by another process."
    Unschedulable = "Unschedulable", "No node can take the pod."
    QuotaExceeded = "QuotaExceeded", "The namespace's quota allows no more pods."
    PodRefused = "PodRefused", "The cluster's admission refuses the pods."
    FetchFailed = "FetchFailed", "The model's files cannot be brought into the pod."
    ImagePullFailed = "ImagePullFailed", "The image cannot be pulled."
    RuntimeNotFound = "RuntimeNotFound", "What should run the model is not installed here."
    NewRevisionProposed = "NewRevisionProposed", "The alias has moved, and the new version is going through its gates."
    RolloutNeedsCapacity = (
        "RolloutNeedsCapacity",
        "The new revision finds no place beside the old one, which serves on.",
    )
    RolloutPaused = "RolloutPaused", "The rollout waits for a person to promote it."
    RolledBack = "RolledBack", "The new revision failed its gates and the old one serves."

    # The cluster around a model
    KServeNotFound = "KServeNotFound", "KServe is not installed in the cluster."
    KServeUnsupported = "KServeUnsupported", "KServe is of a version that this release does not know."
    NameTaken = "NameTaken", "An object of a name that is needed belongs to someone else."
    WriteRefused = "WriteRefused", "The cluster refuses an object that is needed."
    RouteAccepted = "RouteAccepted", "The Gateway takes the route."
    RouteNotAccepted = "RouteNotAccepted", "The Gateway does not take the route, or does not exist."

    # Views
    Compiled = "Compiled", "The definition is compiled against the stream's contract."
    Fresh = "Fresh", "The view has heard events within its maximum age."
    NoEventsYet = "NoEventsYet", "The view has heard no event yet."
    WarmingUp = "WarmingUp", "The state is being rebuilt from committed events."

    # Streams
    ContractValid = "ContractValid", "The contract is valid and in force."
    SourceReachable = "SourceReachable", "Events can be read from the source."
    SourceUnreachable = "SourceUnreachable", "The source does not answer."
    SourceRefusesUs = "SourceRefusesUs", "The source does not accept our credentials, or what they may read."
    TopicNotFound = "TopicNotFound", "The source answers and does not have the topic."
    Lagging = "Lagging", "Events arrive faster than they are committed."

    # Graphs
    WaitingForStream = "WaitingForStream", "The graph waits for its event stream."
    WaitingForModels = "WaitingForModels", "The graph waits for a model to be ready."
    WaitingForViews = "WaitingForViews", "The graph waits for a feature view to be ready."
    WaitingForTargets = "WaitingForTargets", "The graph waits for an action target to be ready."
    WaitingForSecrets = "WaitingForSecrets", "The graph waits for a secret."
    ReferencesResolved = "ReferencesResolved", "Everything that the graph refers to is there and ready."
    InputsDoNotBind = "InputsDoNotBind", "A model's inputs do not match its signature by name and type."
    BandsNotDisjoint = "BandsNotDisjoint", "Two bands claim the same score."
    BandsNotComplete = "BandsNotComplete", "A score exists that no band claims."
    CertificatesNotRequired = "CertificatesNotRequired", "Bands act on their thresholds alone, without certificates."
    CertificatesLive = "CertificatesLive", "Every automatic band has a live certificate."
    AwaitingCertificate = (
        "AwaitingCertificate",
        "A new revision waits until its bands are certified, and the one that serves goes on with its certificates.",
    )
    CertificateEndsSoon = (
        "CertificateEndsSoon",
        "Every automatic band has a live certificate, and one ends within seven days.",
    )
    NothingDemoted = "NothingDemoted", "No band is demoted: what audited items say keeps the promises."
    ApprovalLoosened = "ApprovalLoosened", "An action asks for less approval than its target demands."
    CodeNotFound = (
        "CodeNotFound",
        "The wheel with the graph's code is not there or is not the one that the digest names.",
    )
    HostStarting = "HostStarting", "The graph's host is starting."
    HostServing = "HostServing", "The graph's host has decided its probe event."
    HostFailed = "HostFailed", "The graph's host cannot be started or does not answer."
    SwitchingRevision = "SwitchingRevision", "The host is moving to a new revision between two batches."
    KubeRayNotFound = "KubeRayNotFound", "KubeRay, which the graph's runtime needs, is not installed in the cluster."
    KubeRayUnsupported = "KubeRayUnsupported", "KubeRay is of a version that this release does not know."
    StoreReady = "StoreReady", "The decision store is prepared for this release."
    StoreNotPrepared = "StoreNotPrepared", "The decision store cannot be prepared for this release."
    DatabaseUnreachable = "DatabaseUnreachable", "The decision store does not answer."
    ReviewQueueFull = "ReviewQueueFull", "The most open review items are reached, and nothing more is taken in."

    # Targets
    Reachable = "Reachable", "The target answers its calls."
    DispatcherReady = "DispatcherReady", "The dispatcher runs, and takes actions to the target."
    TargetUnreachable = "TargetUnreachable", "The target does not answer."
    TargetRefusesUs = "TargetRefusesUs", "The target does not accept our credentials."
    BudgetLeft = "BudgetLeft", "The budget's window has room."
    BudgetExhausted = "BudgetExhausted", "The budget's window is used up, and actions are held."
    KillSwitchOn = "KillSwitchOn", "Every action to the target is held by the kill switch."

    # Decisions and reviews
    Decided = "Decided", "The score lies in an automatic band."
    ReviewBand = "ReviewBand", "The score lies in a band that people decide."
    AuditSample = "AuditSample", "The item was drawn for audit although its band is automatic."
    ShadowSample = "ShadowSample", "The item's band never had a certificate, and it was drawn for people to see."
    RuleMatched = "RuleMatched", "A rule of the graph sends the item to a person."
    RuleNotEvaluated = "RuleNotEvaluated", "A rule of the graph needs a value that is missing."
    Blocked = "Blocked", "A list of the graph sends the item to a person."
    StaleFeature = "StaleFeature", "The view had heard nothing for longer than its maximum age."
    LateEvent = "LateEvent", "The event is further behind the newest one than the view allows."
    MissingFeature = "MissingFeature", "A feature that the score needs has no value."
    MissingScore = "MissingScore", "The score is missing or not a number."
    ModelError = "ModelError", "A model gave an error instead of an answer."
    CodeError = "CodeError", "The graph's own code raised an error."
    DeadlineMissed = "DeadlineMissed", "The decision was not ready within the graph's deadline."
    NoLiveCertificate = "NoLiveCertificate", "The band has no live certificate, so nothing is automatic."
    CertificateExpired = "CertificateExpired", "The band's certificate has expired."
    ScorerChanged = "ScorerChanged", "The band's certificate is of another scorer than the one that serves."
    BandDemoted = "BandDemoted", "The band was demoted to review, and not re-armed since."
    MonitorAlarm = "MonitorAlarm", "Audited labels show that the band's error is above its promise."
    ApprovalNotAvailable = "ApprovalNotAvailable", "The action needs more approval than it was given."
    InvalidParameter = "InvalidParameter", "A parameter of an action has no usable value."
    Duplicate = "Duplicate", "The same event was already decided; the same answer is given."
    RecordDropped = "RecordDropped", "The event was decided, and its record was dropped with its day."
    Replayed = "Replayed", "The decision was computed again from its record."
    ReviewOverflow = "ReviewOverflow", "People had no room for the item, so it got the graph's overflow outcome."
    ReviewExpired = "ReviewExpired", "Nobody decided the item before its deadline."
    ReviewEscalated = "ReviewEscalated", "Nobody decided the item before its deadline, so it comes first."

    # Dead letters
    EventConflict = "EventConflict", "An event of the same id but other content was already taken in."
    MissingField = "MissingField", "A field that every event needs is not there."
    WrongType = "WrongType", "A field has a value of another type than its contract says."
    OutOfRange = "OutOfRange", "A number lies outside the field's minimum and maximum."
    TooManyDecimals = "TooManyDecimals", "A decimal has more places than the field's scale."
    TooLong = "TooLong", "A text is longer than the field allows."
    TooShort = "TooShort", "A text is shorter than the field demands."
    PatternMismatch = "PatternMismatch", "A text does not match the field's pattern."
    UnknownValue = "UnknownValue", "A text is not one of the field's values."
    InvalidTimestamp = "InvalidTimestamp", "A timestamp cannot be read or has no offset from UTC."
    NotJSON = "NotJSON", "The event is not JSON."
    NotAnObject = "NotAnObject", "The event is JSON but not an object."
    DuplicateKey = "DuplicateKey", "The event's JSON names the same member twice."
    TooDeep = "TooDeep", "The event's JSON is nested too deeply."
    TooLarge = "TooLarge", "The event or the request is larger than is taken in."
    UnknownEntity = "UnknownEntity", "The event has no value for the entity of a view."
    FutureEvent = "FutureEvent", "The event claims to have happened too far in the future."
    Unreadable = "Unreadable", "The source's record cannot be decoded."

    # Effects
    Approved = "Approved", "The action may be sent."
    AwaitingApproval = "AwaitingApproval", "The action waits for a person to approve it."
    ApprovalDenied = "ApprovalDenied", "A person refused the action."
    Leased = "Leased", "A dispatcher holds the action for sending."
    LeaseExpired = "LeaseExpired", "The dispatcher that held the action did not finish in time."
    Fenced = "Fenced", "A dispatcher that no longer holds the action tried to record its outcome."
    Sent = "Sent", "The request was sent and its answer is awaited."
    Observed = "Observed", "The effect was seen at the target."
    Rejected = "Rejected", "The target refused the action for good."
    OutcomeUnknown = "OutcomeUnknown", "The request may or may not have taken effect, and only a person can tell."
    TargetTimeout = "TargetTimeout", "The target did not answer in time."
    TargetError = "TargetError", "The target answered with an error that may pass."
    TargetBusy = "TargetBusy", "The target asked us to come back later."
    ReadBackMismatch = "ReadBackMismatch", "The target's state is not the one that the action should have caused."
    Expired = "Expired", "The action was not sent before it expired."
    Cancelled = "Cancelled", "A person withdrew the action before it was sent."
    Compensated = "Compensated", "The effect was undone by its compensation."
    RetriesExhausted = "RetriesExhausted", "The action was tried as often as is allowed."


_FIRST: Mapping[str, Reason] = {
    "Every kind": Reason.Ready,
    "What an object refers to": Reason.StreamNotFound,
    "Models": Reason.Resolving,
    "The cluster around a model": Reason.KServeNotFound,
    "Views": Reason.Compiled,
    "Streams": Reason.ContractValid,
    "Graphs": Reason.WaitingForStream,
    "Targets": Reason.Reachable,
    "Decisions and reviews": Reason.Decided,
    "Dead letters": Reason.EventConflict,
    "Effects": Reason.Approved,
}


def groups() -> dict[str, list[Reason]]:
    """The catalogue by what its reasons are about; each group goes from its first member to the next one's."""
    titles = {first: title for title, first in _FIRST.items()}
    found = dict[str, list[Reason]]()
    for reason in Reason:
        if reason in titles:
            found[titles[reason]] = []
        found[list(found)[-1]].append(reason)
    return found
