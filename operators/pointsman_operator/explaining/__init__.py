"""Why a ModelDeployment is as it is, from the object to the line that is to blame, from what the cluster shows. Pure."""
