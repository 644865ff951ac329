#!/usr/bin/env bash
# Joins the tables of slurm-embed.sh once all of its jobs have ended well; JOB is the number that sbatch printed:
#
#   sbatch --dependency=afterok:JOB slurm-merge.sh 8 tables/archive
#SBATCH --job-name=reddino-merge
#SBATCH --cpus-per-task=1
#SBATCH --mem=8G
#SBATCH --time=02:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail

shares=$1 out=$2
tables=()
for ((share = 1; share <= shares; share++)); do
  tables+=("$out.shares/$(printf '%04d' "$share")")
done
exec srun reddino table merge "${tables[@]}" --out "$out"
