#!/usr/bin/env bash
# Pretrains on the GPUs of one or more nodes (without GPUs: on their cores), one torchrun a node:
#
#   sbatch --nodes=4 --gpus-per-node=8 slurm-pretrain.sh base --data packs/smears --out runs/base --set run.batch=6272
#
# Given again, it continues from the last checkpoint; so does the same job once Slurm has requeued it.
#SBATCH --job-name=reddino-pretrain
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
# SIGTERM before the time is over: all processes finish a step, write a checkpoint and the model, and leave.
#SBATCH --signal=TERM@300
set -euo pipefail

nodes=${SLURM_JOB_NUM_NODES:-1}
processes=${SLURM_GPUS_ON_NODE:-${PROCESSES:-1}}
mapfile -t names < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
port=$((20000 + SLURM_JOB_ID % 10000))
# Processes that are started again on several machines must not meet the store of those before.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1

exec srun --ntasks-per-node=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
  torchrun --nnodes "$nodes" --nproc-per-node "$processes" --max-restarts 3 --shutdown-timeout 240 \
  --rdzv-backend c10d --rdzv-endpoint "${names[0]}:$port" --rdzv-id "$SLURM_JOB_ID" \
  -m reddino pretrain "$@"
