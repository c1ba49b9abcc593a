"""Rules by which Prometheus says that the operator itself is in trouble."""

from __future__ import annotations

from pointsman_operator.resources.monitoring.alert import Alert
from pointsman_operator.settings import Settings

NAME = "pointsman-operator"

ALERTS: tuple[Alert, ...] = (
    Alert(
        name="PointsmanOperatorHasNoLeader",
        expression="absent(pointsman_operator_leads == 1)",
        for_="2m",
        severity="critical",
        summary="No replica of the Pointsman operator reconciles",
        description=(
            "What serves goes on serving, but no change of a ModelDeployment has an effect, and no failure is said. Look at "
            f"the pods: kubectl get pods -n {Settings().namespace}; at their logs; and at who holds the lease: kubectl get "
            f"lease {NAME} -n {Settings().namespace}. If all is well there, Prometheus does not read the pods' metrics."
        ),
    ),
    Alert(
        name="PointsmanReconcilesFail",
        expression='sum(increase(pointsman_operator_reconciles_total{outcome="error"}[10m])) > 0',
        for_="10m",
        severity="warning",
        summary="Reconciles of the Pointsman operator end with an error that it does not expect",
        description=(
            'This is a fault of the operator. Its log has "a reconcile failed" with the ModelDeployment and a traceback: '
            "report it. The other ModelDeployments are not affected."
        ),
    ),
    Alert(
        name="PointsmanReconcilesAreRetried",
        expression=(
            'sum(increase(pointsman_operator_reconciles_total{outcome="retry"}[10m])) > '
            'sum(increase(pointsman_operator_reconciles_total{outcome="done"}[10m]))'
        ),
        for_="10m",
        severity="warning",
        summary="Most reconciles of the Pointsman operator fail and are tried again",
        description=(
            'The API server does not answer, is overloaded, or refuses: the operator\'s log has "retry" with the cause. Where '
            "it says forbidden, the ClusterRole is of another release: apply manifests/ again."
        ),
    ),
    Alert(
        name="PointsmanQueueIsStuck",
        expression="max(pointsman_operator_queue_oldest_seconds) > 120",
        for_="5m",
        severity="warning",
        summary="A ModelDeployment, or a namespace with graphs, has waited for minutes to be reconciled",
        description=(
            "The operator is too slow, or a reconcile hangs. Look at pointsman_operator_reconcile_seconds and at the CPU of the "
            "leading pod; deleting that pod lets the other replica take over."
        ),
    ),
    Alert(
        name="PointsmanWatchIsSilent",
        expression="max by (kind) (pointsman_operator_watch_silent_seconds) > 300",
        for_="5m",
        severity="warning",
        summary="The Pointsman operator has heard nothing of kind {{ $labels.kind }} for minutes",
        description=(
            "The API server sends a sign of life every minute. Until it does again, changes of this kind have no effect. The "
            'operator\'s log has "watch" with the cause; where it says forbidden, apply manifests/ again.'
        ),
    ),
    Alert(
        name="PointsmanModelDeploymentsNotReady",
        expression='max by (reason) (pointsman_operator_modeldeployments{ready="False"}) > 0',
        for_="15m",
        severity="warning",
        summary="{{ $value }} ModelDeployments are not Ready for {{ $labels.reason }}",
        description=(
            "Somebody must act. Which ones, and what to do: kubectl get modeldeployments -A, then kubectl describe; the "
            "condition Ready has the cause and the next step. The version that served before serves on where there is one."
        ),
    ),
    Alert(
        name="PointsmanModelDeploymentsStayUnknown",
        expression='max by (reason) (pointsman_operator_modeldeployments{ready="Unknown"}) > 0',
        for_="1h",
        severity="warning",
        summary="{{ $value }} ModelDeployments have waited for an hour for {{ $labels.reason }}",
        description=(
            "Something that should pass by itself has not: a model that loads for long, a Gateway that no controller answers "
            "for. Which ones: kubectl get modeldeployments -A; the condition Ready says what is waited for."
        ),
    ),
    Alert(
        name="PointsmanRegistryUnreachable",
        expression=(
            'sum(increase(pointsman_operator_registry_questions_total{outcome="unreachable"}[10m])) > 0 unless '
            'sum(increase(pointsman_operator_registry_questions_total{outcome="answered"}[10m])) > 0'
        ),
        for_="5m",
        severity="warning",
        summary="The model registry does not answer the Pointsman operator",
        description=(
            "Pinned versions go on serving; moved aliases are not noticed, and new ModelDeployments wait. Look at MLflow at the "
            'address in POINTSMAN_REGISTRY_URL of the operator\'s Deployment, and at what its log says for "registry".'
        ),
    ),
    Alert(
        name="PointsmanRegistryTakesNoTags",
        expression="max(pointsman_operator_registry_tags_pending) > 0",
        for_="30m",
        severity="info",
        summary="What became of model versions cannot be written back to the model registry",
        description=(
            'Nothing else is affected. The operator\'s log has "the registry took no tag" with the cause. Where the registry is '
            'meant to be read only, set POINTSMAN_REGISTRY_TAG to "" in the operator\'s Deployment.'
        ),
    ),
)
