'use client'

import { Suspense } from 'react'
import { useSearchParams } from 'next/navigation'
import { Room } from './Room'

function Chosen() {
  return <Room id={useSearchParams().get('room') ?? ''} />
}

export default function Page() {
  return <Suspense><Chosen /></Suspense>
}
