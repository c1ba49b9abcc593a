#!/usr/bin/env bash
# Installs this release into the cluster of kubectl's current context, and returns once the operator is available.
set -euo pipefail
cd "$(dirname "$0")"

fail() {
  printf 'make deploy: %s\n' "$@" >&2
  exit 1
}

command -v kubectl >/dev/null || fail 'kubectl is not on PATH: https://kubernetes.io/docs/tasks/tools'
context=$(kubectl config current-context 2>/dev/null) || fail 'kubectl has no current context: set KUBECONFIG, or `kubectl config use-context`'
said=$(kubectl get --raw /version 2>&1 >/dev/null) || fail "the cluster of context \"$context\" does not answer: $said"
for kind in inferenceservices clusterservingruntimes clusterstoragecontainers; do
  kubectl get crd "$kind.serving.kserve.io" >/dev/null 2>&1 ||
    fail "the cluster of context \"$context\" has no \"$kind.serving.kserve.io\": install KServe first, in Standard mode: https://kserve.github.io"
done

echo "installing into the cluster of context \"$context\""
kubectl apply --server-side -k .
if ! kubectl rollout status deployment/pointsman-operator -n pointsman-system --timeout="${TIMEOUT:-120s}"; then
  kubectl get pods -n pointsman-system -l app.kubernetes.io/name=pointsman-operator >&2
  fail 'the operator is not available. Where its image cannot be pulled, build the images and load them:' \
    '  make images && kind load image-archive build/images/*.tar     (or push them, and name them in manifests/)' \
    'Otherwise: kubectl describe pods -n pointsman-system'
fi
cat <<END
the operator is available. It asks MLflow at http://mlflow.pointsman-system.svc:5000; an MLflow to try it with:
  kubectl apply --server-side -k manifests/mlflow
then, in a shell beside: kubectl port-forward -n pointsman-system service/mlflow 5000
  python -m pointsman.demo.register --tracking-uri http://127.0.0.1:5000
  kubectl apply -f manifests/examples/model/modeldeployment.yaml
END
kubectl get crd rayservices.ray.io >/dev/null 2>&1 ||
  printf '\nthe cluster has no "rayservices.ray.io": graphs of type RayServe need KubeRay (docs/supported-versions.md), of type Embedded not\n'
namespaces='{range .items[*]}{.metadata.namespace}{"\n"}{end}'
for namespace in $(kubectl get decisiongraphs,actiontargets -A -o jsonpath="$namespaces" | sort -u); do
  kubectl get secret pointsman-store -n "$namespace" >/dev/null 2>&1 ||
    printf '\nthe namespace "%s" has no Secret "pointsman-store", for which its graphs and targets wait: docs/store.md\n' "$namespace"
done
cat <<'END'

decisions, by the fraud example with the models that were registered:
  kubectl create namespace fraud
  # its store: the Secret "pointsman-store", and a PostgreSQL of yours or one for trials: docs/store.md has the lines
  kubectl create secret generic accounts-token -n fraud --from-literal=token="$(openssl rand -hex 16)"
  kubectl apply -n fraud -f manifests/examples/fraud
  kubectl get decisiongraphs -n fraud -w                          # Ready once it decides
  kubectl pointsman explain decisiongraph/card-fraud -n fraud     # why it does not
END
