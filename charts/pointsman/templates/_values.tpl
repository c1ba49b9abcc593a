{{- /* An image of this release by its name: include "pointsman.image" (list . "operator") */}}
{{- define "pointsman.image" -}}
{{- $chart := index . 0 -}}
{{- printf "%s/%s:%s" $chart.Values.image.registry (index . 1) ($chart.Values.image.tag | default $chart.Chart.AppVersion) -}}
{{- end }}

{{- /* MLflow's address, for the operator and for the pods that fetch models */}}
{{- define "pointsman.registryUrl" -}}
{{- .Values.settings.registryUrl | default (printf "http://mlflow.%s.svc:5000" .Release.Namespace) -}}
{{- end }}
