"""What to do next, for each reason that a condition of an object can have. `reasons` hands them out with the reasons.

A message names the thing, in quotes; a next step holds for every such thing, on a cluster and on a laptop alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

NOTHING = "Nothing: it is as it should be."
WAIT = "Wait: it goes on by itself."

NEXT_STEPS: Mapping[str, str] = MappingProxyType(
    {
        # Every kind
        "Ready": NOTHING,
        "Progressing": "Wait; where it lasts for minutes, look whether the operator (or `pointsman up`) runs.",
        "Accepted": NOTHING,
        "Deleting": WAIT,
        "Suspended": "Ask for at least one replica in the spec to switch it on again.",
        "InvalidReference": "Correct the name in the document, or give the other object what is missing, and apply again.",
        "InvalidExpression": "Correct the expression at the place that the message names, and apply again.",
        "InvalidSpec": "Correct the field that the message names, and apply again.",
        "NotHonouredHere": "Take the field out of the document, or choose what the message offers in its place.",
        "NoRoom": "Free disk or memory where the message says, or give the pod more room.",
        "NothingWatches": "Apply a DecisionGraph that uses it, or delete it.",
        # What an object refers to
        "StreamNotFound": "Apply the EventStream, or correct the name in eventStreamRef or sourceRef.",
        "ViewNotFound": "Apply the FeatureView, or correct the name in viewRef.",
        "DeploymentNotFound": "Apply the ModelDeployment, or correct the name in deploymentRef.",
        "TargetNotFound": "Apply the ActionTarget, or correct the name in targetRef.",
        "OperationNotFound": "Add the operation to the ActionTarget, or name one that it has.",
        "FieldNotFound": "Add the field to the EventStream's contract, or name one that it has.",
        "FieldTypeMismatch": "Use a field of the type that the message asks for, or change its type in the contract.",
        "SecretNotFound": "Create the Secret, with the key that the message names, beside the object.",
        "ServiceNotFound": "Apply the Service, or correct the name in serviceRef.",
        "StillReferredTo": "Delete first what the message names, or take the reference out of it.",
        # Models
        "Resolving": WAIT,
        "Resolved": NOTHING,
        "RegistryUnreachable": "Start MLflow or correct its address (POINTSMAN_REGISTRY_URL); what serves goes on meanwhile.",
        "ModelNotFound": "Register the model or the version in MLflow, put its files at the address, or correct spec.model.uri.",
        "AliasNotFound": "Set the alias on a version in MLflow, or correct it in spec.model.uri.",
        "ArtifactRefused": "Log the model again in a form that is taken (the message says what is wrong), and register it.",
        "DigestMismatch": "Find out who changed the files; then register them anew, or correct spec.model.digest.",
        "ModelStarting": "Wait; where it lasts for minutes, read the last lines of the server's log.",
        "ModelServing": NOTHING,
        "ProbeFailed": "Read the server's log, and try the model's example input against the model itself.",
        "Crashing": "Read the last lines of its log, correct the model or the settings that they name, and apply again.",
        "OutOfMemory": 'Raise spec.resources.limits["memory"], or serve a smaller model or batch.',
        "PortTaken": "End the process that listens on the port, or choose another port.",
        "Unschedulable": "Free what is short on a node, add a node that has it, or ask for less in spec.resources.",
        "QuotaExceeded": "Ask for less, delete what is not needed in the namespace, or have its quota raised.",
        "PodRefused": "Change in spec.podTemplate or in the runtime what the refusal names, or have the policy changed.",
        "FetchFailed": "Look whether the address of the files can be reached from a pod, with the credentials it has.",
        "ImagePullFailed": "Correct the image's name, or give the pods a pull secret in spec.podTemplate.spec.imagePullSecrets.",
        "RuntimeNotFound": "Install the runtime that the message names, or choose another in spec.runtime.",
        "NewRevisionProposed": "Wait: the new revision takes over once it answers.",
        "RolloutNeedsCapacity": "Free what is short, or let the old revision end first: spec.rollout.type: Recreate.",
        "RolloutPaused": "Promote the new revision, or go back to the old one.",
        "RolledBack": "Find out by the message why it failed, and propose a corrected version.",
        # The cluster around a model
        "KServeNotFound": "Install KServe in the cluster.",
        "KServeUnsupported": "Install a version of KServe that this release supports.",
        "NameTaken": "Delete or rename the object that the message names, or rename yours.",
        "WriteRefused": "Change what the refusal names; an operator that lacks a right gets it with its manifests.",
        "RouteAccepted": NOTHING,
        "RouteNotAccepted": "Correct spec.route, or have the Gateway's listener allow this namespace and host name.",
        # Views
        "Compiled": NOTHING,
        "Fresh": NOTHING,
        "NoEventsYet": "Send an event to the stream.",
        "WarmingUp": WAIT,
        # Streams
        "ContractValid": NOTHING,
        "SourceReachable": NOTHING,
        "SourceUnreachable": "Start the source, or correct its address in spec.source.",
        "SourceRefusesUs": "Correct the user or the secret that spec.source names, or give the user the right to read.",
        "TopicNotFound": "Create the topic, or correct spec.source.kafka.topic: it is read as soon as it is there.",
        "Lagging": "Give the graph more workers, or send fewer events.",
        # Graphs
        "WaitingForStream": "Explain the EventStream: it says what it needs.",
        "WaitingForModels": "Explain the ModelDeployment that the message names: it says what it needs.",
        "WaitingForViews": "Explain the FeatureView that the message names: it says what it needs.",
        "WaitingForTargets": "Explain the ActionTarget that the message names: it says what it needs.",
        "WaitingForSecrets": "Create the Secret that the message names.",
        "ReferencesResolved": NOTHING,
        "InputsDoNotBind": "Give each input of the model's signature a value of its type in the node's inputs.",
        "BandsNotDisjoint": "Move the bound of one of the two bands, so that each score lies in one.",
        "BandsNotComplete": "Move a bound or add a band, so that each score lies in one.",
        "CertificatesNotRequired": "Nothing, while you answer for the thresholds yourself; else certificates: Required.",
        "CertificatesLive": NOTHING,
        "AwaitingCertificate": "Run the command that the message names, and it takes over by itself; or go back, or write "
        "onMissingCertificates: Review.",
        "CertificateEndsSoon": "Certify the band again before then, on newer labels; else its items go to people.",
        "NothingDemoted": NOTHING,
        "ApprovalLoosened": "Ask in the action for at least the approval that its ActionTarget demands.",
        "CodeNotFound": "Put the wheel where the message says, or correct the digest in spec.code.",
        "HostStarting": "Wait; where it lasts for minutes, read the last lines of the host's log.",
        "HostServing": NOTHING,
        "HostFailed": "Read the last lines of the host's log, correct what they name, and apply again.",
        "SwitchingRevision": WAIT,
        "KubeRayNotFound": "Install KubeRay in the cluster, or choose spec.runtime.type: Embedded.",
        "KubeRayUnsupported": "Install a version of KubeRay that this release supports.",
        "StoreReady": NOTHING,
        "StoreNotPrepared": "Correct what the last line names: the Secret pointsman-store, the database, or its owner's rights.",
        "DatabaseUnreachable": "Start PostgreSQL, or correct its address; events are refused until it answers.",
        "ReviewEscalated": "Have people decide what is past its deadline: it stands first in the queue.",
        "ReviewOverflow": "Have people decide open reviews, or raise review.maxOpen.",
        "ReviewQueueFull": "Have people decide open reviews, or raise review.maxOpen.",
        "NoLiveCertificate": "Certify the band (pointsman certify GRAPH), say by spec.uncertified what happens until then, or "
        "write certificates: NotRequired and answer for its thresholds yourself.",
        "CertificateExpired": "Certify the band again, on newer labels.",
        "ScorerChanged": "Certify the bands for the scorer that serves now, or go back to the one that is certified.",
        "BandDemoted": "Find out why; then certify the band anew, and have another person re-arm it.",
        # Targets
        "Reachable": NOTHING,
        "DispatcherReady": NOTHING,
        "TargetUnreachable": "Start the target, or correct its address in the ActionTarget; what waits is sent then.",
        "TargetRefusesUs": "Correct the credentials in the Secret that spec.auth names.",
        "BudgetLeft": NOTHING,
        "BudgetExhausted": "Wait for the next window, or raise spec.budget after looking at what was sent.",
        "KillSwitchOn": "Find out who switched it on and why, and switch it off once that is settled.",
    }
)
"""By the reason's name"""
