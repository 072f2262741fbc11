"""The disaster-recovery test: what would we have if nothing were left but the bucket, one key and an empty server?"""
