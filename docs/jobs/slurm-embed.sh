#!/usr/bin/env bash
# Embeds a collection by an array of jobs, a share each, into tables that slurm-merge.sh joins:
#
#   sbatch --array=1-8 slurm-embed.sh 8 cells.csv tables/archive [options of reddino embed]
#
# A job that ended before its table was whole continues where it stopped, by the same command with its number
# alone: sbatch --array=3 slurm-embed.sh 8 ...; Slurm gives it again by itself after a node failed.
#SBATCH --job-name=reddino-embed
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A_%a.log
# SIGTERM before the time is over: the command stops as by Ctrl-C, and can be given again.
#SBATCH --signal=TERM@120
set -euo pipefail

shares=$1 data=$2 out=$3
number=$(printf '%04d' "$SLURM_ARRAY_TASK_ID")
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

exec srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
  reddino embed "$data" --share "$SLURM_ARRAY_TASK_ID/$shares" --out "$out.shares/$number" "${@:4}"
