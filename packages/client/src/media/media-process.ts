// The process in which files are decoded that are about to be sent: one job, one answer, and it ends. What a hostile file
// makes of a decoder, it makes of a process that holds no keys, writes to one folder alone and can be killed.
// Knows nothing of people, keys or uploads.
import type { MediaAnswer, MediaJob } from './job.ts';
import { refused } from './job.ts';

async function carryOut(job: MediaJob): Promise<MediaAnswer> {
  const { preparePicture, previewOf } = await import('./picture.ts');
  switch (job.kind) {
    case 'picture':
      return preparePicture(job.from, job.to, job.quality);
    case 'preview':
      return { kind: 'prepared', facts: { mediaType: '', ...(await previewOf(job.from)) } };
  }
}

process.once('message', (job: MediaJob) => {
  void carryOut(job)
    .catch((error: unknown) => failure(error))
    .then(answer => process.send!(answer, () => process.exit(0)));
});

function failure(error: unknown): MediaAnswer {
  if (!(error instanceof Error)) return refused('it is broken');
  if ('syscall' in error) return refused('the copy', 'file-not-written');
  if (error.message.includes('pixel limit')) return refused('too many pixels', 'media-too-large');
  return refused('it is broken, or of a form that can’t be read here');
}
